internal import CKernels
import Tensors

/// `f16`: IEEE binary16, rounded to nearest even (Formats/schemes.md, "f16").
enum F16Scheme: SchemeDefinition {
    static let passedThrough: DType? = .f16

    static func planes(for shape: Shape) -> [PlaneSpecification] {
        [PlaneSpecification(name: "values", dtype: .f16, shape: shape, rule: .finite)]
    }

    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance] {
        try narrow(values, into: planes[0], at: row, .f16, limit: "65504", subject)
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor { try planes[0].widened() }

    /// Half a unit in the last place of the source's binade; 2^-25 below the normal numbers.
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        BoundCheck(decoded, source) { _, value in halfUnit(of: value, significandBits: 11, smallestExponent: -14) }
    }
}

extension SchemeDefinition {
    /// Rounds rows to the plane's 16-bit type. A finite value that would become an infinity is an error; NaN and infinity are kept.
    static func narrow(
        _ values: Tensor, into plane: EncodedTensor, at row: Int, _ scheme: Scheme, limit: String, _ subject: SchemeSubject
    ) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let count = values.count
        let codes = unsafe plane.buffer.mutableBytes.baseAddress! + row * values.columns * MemoryLayout<UInt16>.stride
        var back: Tensor
        do throws(AllocationError) { back = try Tensor(values.shape, zeroed: false) } catch { throw .memory(error) }
        if plane.dtype == .f16 {
            unsafe ck_f32_to_f16(isa, values.pointer, codes, count)
            unsafe ck_f16_to_f32(isa, codes, back.mutablePointer, count)
        } else {
            unsafe ck_f32_to_bf16(isa, values.pointer, codes, count)
            unsafe ck_bf16_to_f32(isa, codes, back.mutablePointer, count)
        }
        let first = unsafe ck_find_nonfinite(isa, CK_F32, back.pointer, count)
        let (source, stored) = (values.span, back.span)
        for index in first..<count where stored[index].isInfinite && source[index].isFinite {
            throw subject.outOfRange(index, source[index], scheme, limit: limit)
        }
        return RowDistance.rows(decoded: back, source: values)
    }

    /// Half the distance of two numbers next to `value` in a binary format: the largest error of rounding to nearest.
    static func halfUnit(of value: Float, significandBits: Int, smallestExponent: Int) -> Double {
        guard value.isFinite, value != 0 else { return 0 }
        // The exponent of a subnormal float32 is right too: it is that of the leading bit.
        let exponent = max(Int(value.exponent), smallestExponent)
        return Double(sign: .plus, exponent: exponent - significandBits, significand: 1)
    }
}
