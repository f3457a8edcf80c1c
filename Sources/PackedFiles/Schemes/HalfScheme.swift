internal import CKernels
import Tensors

extension Scheme {
    /// IEEE binary16, rounded to nearest even (Formats/schemes.md, "f16").
    package static let f16 = Scheme(
        HalfScheme(
            name: "f16", type: .f16, traceWord: "float16", overflowLimit: 65520, largest: "65504", significandBits: 11, smallestExponent: -14))
    /// The upper half of a float32, rounded to nearest even (Formats/schemes.md, "bf16").
    package static let bf16 = Scheme(
        HalfScheme(
            name: "bf16", type: .bf16, traceWord: "bfloat16", overflowLimit: Float(bitPattern: 0x7F7F_8000), largest: "3.3895314e+38",
            significandBits: 8, smallestExponent: -126))
}

/// The two schemes of 16-bit floats.
struct HalfScheme: SchemeDefinition {
    let name: String
    let type: DType
    let traceWord: String
    let overflowLimit: Float
    /// The largest number there is, for messages.
    let largest: String
    let significandBits: Int
    /// Of the normal numbers.
    let smallestExponent: Int
    var elementType: DType? { type }

    func planes(for shape: Shape) -> [PlaneSpecification] { [PlaneSpecification("values", type, shape, .finite(type))] }

    /// Rounds rows. A finite value that would become an infinity is an error; NaN and infinity are kept.
    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let count = values.count
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * values.columns * MemoryLayout<UInt16>.stride
        var back = try wrapping(PackedFileError.machine, try Tensor(values.shape, zeroed: false))
        if type == .f16 {
            unsafe ck_f32_to_f16(isa, values.pointer, codes, count)
            unsafe ck_f16_to_f32(isa, codes, back.mutablePointer, count)
        } else {
            unsafe ck_f32_to_bf16(isa, values.pointer, codes, count)
            unsafe ck_bf16_to_f32(isa, codes, back.mutablePointer, count)
        }
        let first = unsafe ck_find_nonfinite(isa, CK_F32, back.pointer, count)
        let source = values.span
        for index in first..<count where source[index].isFinite && source[index].magnitude >= overflowLimit {
            throw subject.outOfRange(index, source[index], name, limit: largest)
        }
        return RowDistance.rows(decoded: back, source: values)
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor { try planes[0].widened() }

    /// Half a unit in the last place of the source's binade, and of the smallest normal numbers' below them.
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        BoundCheck(decoded, source) { _, _, value in
            guard value.isFinite, value != 0 else { return 0 }
            // The exponent of a subnormal float32 is right too: it is that of the leading bit.
            let exponent = max(Int(value.exponent), smallestExponent)
            return Double(sign: .plus, exponent: exponent - significandBits, significand: 1)
        }
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        let target = unsafe planes[0].buffer.mutableBytes.assumingMemoryBound(to: UInt16.self)
        for column in row.indices {
            let value = unsafe row[column]
            unsafe target[index * row.count + column] = type == .f16 ? draw.float16(value).bitPattern : draw.bfloat16(value)
        }
    }

    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        let codes = row.map { value -> UInt32? in
            if value.isNaN { return nil }
            return type == .f16 ? UInt32(Float16(value).bitPattern) : (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16
        }
        return [ReferencePlane(codes)]
    }
}
