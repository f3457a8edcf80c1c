import Inference
import Operations
import PackedFiles
import Tensors

/// The integer contract, written out plainly.
enum Int8Reference {
    /// Symmetric int8 values of one row and their scale.
    static func quantize(_ row: [Float]) -> (values: [Int8], scale: Float) {
        let largest = row.map { $0.magnitude }.max() ?? 0
        let scale = largest / 127 == 0 ? 1 : largest / 127
        return (row.map { Int8(max(-127, min(127, ($0 / scale).rounded(.toNearestOrEven)))) }, scale)
    }

    static func weight(_ floats: [Float], _ shape: Shape, _ activations: ActivationScheme) throws -> StoredWeight {
        var (values, scales) = ([UInt8](), [Float]())
        for row in 0..<shape.rows {
            let (q, scale) = quantize(Array(floats[row * shape.columns..<(row + 1) * shape.columns]))
            values += q.map { UInt8(bitPattern: $0) }
            scales.append(scale)
        }
        let encoded = try EncodedTensor(dtype: .i8, shape: shape)
        unsafe encoded.buffer.mutableBytes.copyBytes(from: values)
        return StoredWeight(.int8PerChannel, shape, planes: [encoded, EncodedTensor(try Tensor([shape.rows], scales))], activations: activations)
    }
}
