internal import CKernels
import Tensors

/// `f16`: IEEE binary16, rounded to nearest even (Formats/schemes.md, "f16").
enum F16Scheme: SchemeDefinition {
    static let passedThrough: DType? = .f16

    static func planes(for shape: Shape) -> [PlaneSpecification] {
        [PlaneSpecification(name: "values", dtype: .f16, shape: shape, rule: .finite)]
    }

    static func encode(_ tensor: Tensor, _ subject: SchemeSubject) throws(PackedFileError) -> [EncodedTensor] {
        [try narrowed(tensor, to: .f16, .f16, limit: "65504", subject)]
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor { try planes[0].widened() }

    /// Half a unit in the last place of the source's binade; 2^-25 below the normal numbers.
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        BoundCheck(decoded, source) { _, value in halfUnit(of: value, significandBits: 11, smallestExponent: -14) }
    }
}

extension SchemeDefinition {
    /// The values in a 16-bit type. A finite value that would become an infinity is an error; NaN and infinity are kept.
    static func narrowed(
        _ tensor: Tensor, to dtype: DType, _ scheme: Scheme, limit: String, _ subject: SchemeSubject
    ) throws(PackedFileError) -> EncodedTensor {
        let result: EncodedTensor
        do throws(AllocationError) { result = try tensor.narrowed(to: dtype) } catch { throw .memory(error) }
        let type = dtype == .f16 ? CK_F16 : CK_BF16
        let first = unsafe ck_find_nonfinite(ck_isa_best(), type, result.bytes.baseAddress, tensor.count)
        let values = tensor.span
        let codes = unsafe result.bytes.assumingMemoryBound(to: UInt16.self)
        let infinity: UInt16 = dtype == .f16 ? 0x7C00 : 0x7F80
        for index in first..<tensor.count where unsafe codes[index] & 0x7FFF == infinity && values[index].isFinite {
            throw subject.outOfRange(index, values[index], scheme, limit: limit)
        }
        return result
    }

    /// Half the distance of two numbers next to `value` in a binary format: the largest error of rounding to nearest.
    static func halfUnit(of value: Float, significandBits: Int, smallestExponent: Int) -> Double {
        guard value.isFinite, value != 0 else { return 0 }
        // The exponent of a subnormal float32 is right too: it is that of the leading bit.
        let exponent = max(Int(value.exponent), smallestExponent)
        return Double(sign: .plus, exponent: exponent - significandBits, significand: 1)
    }
}
