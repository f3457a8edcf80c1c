import PackedFiles
package import Tensors

extension WeightSource {
    /// For sources that hold their weights in memory anyway: the rows are copied out of the whole weight.
    package func rows(_ indices: [Int], of name: String) throws(WeightError) -> StoredWeight {
        let whole = try weight(name)
        precondition(indices.allSatisfy { (0..<whole.shape.rows).contains($0) }, "no rows of \(name)")
        do throws(AllocationError) { return try whole.rows(indices) } catch { throw .memory(error) }
    }
}

extension StoredWeight {
    /// A copy of some rows.
    fileprivate func rows(_ indices: [Int]) throws(AllocationError) -> StoredWeight {
        switch self {
        case .plain(let tensor): return .plain(try tensor.rows(indices))
        case .int8PerChannel(let values, let scales, let activations):
            let factors = Tensor(sharing: try EncodedTensor(scales).rows(indices))
            return .int8PerChannel(values: try values.rows(indices), scales: factors, activations: activations)
        case .int8Rotated(let values, let scales, let activations):
            let factors = Tensor(sharing: try EncodedTensor(scales).rows(indices))
            return .int8Rotated(values: try values.rows(indices), scales: factors, activations: activations)
        }
    }

    /// The elements in float32.
    package func widened() throws(AllocationError) -> Tensor {
        switch self {
        case .plain(let tensor): try tensor.widened()
        case .int8PerChannel(let values, let scales, _): try values.scaledRows(by: scales)
        case .int8Rotated(let values, let scales, _): try Scheme.int8Rotated.decode([values, EncodedTensor(scales)], shape: values.shape)
        }
    }
}

extension EncodedTensor {
    fileprivate func rows(_ indices: [Int]) throws(AllocationError) -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: Shape([indices.count] + shape.extents.dropFirst()))
        let byteCount = shape.columns * dtype.byteCount
        for (place, index) in indices.enumerated() {
            let row = unsafe UnsafeRawBufferPointer(rebasing: bytes[index * byteCount..<(index + 1) * byteCount])
            unsafe UnsafeMutableRawBufferPointer(rebasing: result.buffer.mutableBytes[(place * byteCount)...]).copyMemory(from: row)
        }
        return result
    }
}
