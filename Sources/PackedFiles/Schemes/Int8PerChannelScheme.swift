internal import CKernels
import Tensors

extension Scheme {
    package static let int8PerChannel = Scheme(Int8PerChannelScheme())
}

/// `int8-per-channel`: symmetric int8 with one float32 scale per row (Formats/schemes.md, "int8-per-channel" and "The integer contract").
struct Int8PerChannelScheme: RowRounding {
    let name = "int8-per-channel"
    let traceWord = "int8"
    var integerTurn: Int? { 1 }

    func planes(for shape: Shape) -> [PlaneSpecification] {
        [PlaneSpecification("values", .i8, shape, .symmetricInt8), PlaneSpecification("scales", .f32, [shape.rows], .positive)]
    }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let nonfinite = unsafe ck_find_nonfinite(isa, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * values.columns
        let scales = unsafe planes[1].buffer.mutableBytes.baseAddress! + row * MemoryLayout<Float>.stride
        return unsafe RowDistance.rows(values.rows) { sums in
            unsafe ck_quantize_rows_s8_distance(isa, values.pointer, codes, scales, sums, values.rows, values.columns)
        }
    }

    func round(_ values: inout Tensor, into planes: [EncodedTensor], at row: Int) {
        let (isa, columns) = (InstructionSet.forConversions.rawValue, values.columns)
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * columns
        let scales = unsafe planes[1].buffer.mutableBytes.baseAddress! + row * MemoryLayout<Float>.stride
        unsafe ck_quantize_rows_s8(isa, values.pointer, columns, codes, scales, values.rows, columns)
        unsafe ck_dequantize_rows_s8(isa, codes, scales, values.mutablePointer, columns, values.rows, columns)
    }

    func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? {
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

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor {
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
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        let scales = unsafe planes[1].bytes.assumingMemoryBound(to: Float.self)
        return BoundCheck(decoded, source) { row, _, _ in unsafe Double(scales[row]) * (0.5 + 0x1p-16) + 0x1p-142 }
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        let scale = unsafe Self.scale(row)
        unsafe planes[1].buffer.mutableBytes.assumingMemoryBound(to: Float.self)[index] = scale
        let codes = unsafe planes[0].buffer.mutableBytes.assumingMemoryBound(to: Int8.self)
        for column in row.indices {
            unsafe codes[index * row.count + column] = Int8(min(127, max(-127, draw.whole(row[column] / scale))))
        }
    }

    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        let scale = Self.scale(row)
        let codes = row.map { UInt32(UInt8(bitPattern: Int8(min(127, max(-127, ($0 / scale).rounded(.toNearestOrEven)))))) }
        return [ReferencePlane(codes), ReferencePlane([scale.bitPattern], ulps: 1)]
    }

    private static func scale(_ row: some Sequence<Float>) -> Float {
        let largest = row.reduce(0) { max($0, $1.magnitude) }
        return largest / 127 == 0 ? 1 : largest / 127
    }
}
