internal import CKernels
import Tensors

/// `int8-per-channel`: symmetric int8 with one float32 scale per row (Formats/schemes.md, "int8-per-channel" and "The integer contract").
enum Int8PerChannelScheme: SchemeDefinition {
    static let passedThrough: DType? = nil

    static func planes(for shape: Shape) -> [PlaneSpecification] {
        [
            PlaneSpecification(name: "values", dtype: .i8, shape: shape, rule: .symmetricInt8),
            PlaneSpecification(name: "scales", dtype: .f32, shape: [shape.rows], rule: .positiveFinite),
        ]
    }

    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let nonfinite = unsafe ck_find_nonfinite(isa, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * values.columns
        let scales = unsafe planes[1].buffer.mutableBytes.baseAddress! + row * MemoryLayout<Float>.stride
        return unsafe RowDistance.rows(values.rows) { sums in
            unsafe ck_quantize_rows_s8_distance(isa, values.pointer, codes, scales, sums, values.rows, values.columns)
        }
    }

    static func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? {
        guard rows.dtype == .bf16 else { return nil }
        let (count, columns) = (rows.shape.rows, rows.shape.columns)
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * columns
        let scales = unsafe planes[1].buffer.mutableBytes.baseAddress! + row * MemoryLayout<Float>.stride
        var done = 0
        let distances = unsafe RowDistance.rows(count) { sums in
            done = unsafe ck_quantize_rows_bf16_s8_distance(InstructionSet.forConversions.rawValue, rows.bytes.baseAddress, codes, scales, sums, count, columns)
        }
        return done == count ? distances : nil
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor {
        var result = try Tensor(shape, zeroed: false)
        let columns = shape.columns
        let values = planes[0]
        let scales = planes[1]
        let (out, isa) = unsafe (SharedPointer(result.mutablePointer), InstructionSet.forConversions.rawValue)
        Parallel.forEach(shape.rows) { rows in
            let start = rows.lowerBound
            let from = unsafe (values.bytes.baseAddress! + start * columns, scales.bytes.baseAddress! + start * MemoryLayout<Float>.stride)
            unsafe ck_dequantize_rows_s8(isa, from.0, from.1, out.pointer + start * columns, columns, rows.count, columns)
        }
        return result
    }

    /// Half a step; 2^-16 of a step for the roundings of quotient and product, each at most 127 * 2^-24 steps; and 2^-142 for what the
    /// clamp cuts off where the scale is subnormal.
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        let scales = unsafe planes[1].bytes.assumingMemoryBound(to: Float.self)
        return BoundCheck(decoded, source) { row, _ in unsafe Double(scales[row]) * (0.5 + 0x1p-16) + 0x1p-142 }
    }
}
