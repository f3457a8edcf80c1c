/// A tensor in any element type, as a file holds it: row-major little-endian elements.
package struct EncodedTensor: Sendable {
    package let dtype: DType
    package let shape: Shape
    package let buffer: Buffer

    /// - Precondition: the buffer holds exactly the elements.
    package init(dtype: DType, shape: Shape, buffer: Buffer) {
        precondition(buffer.byteCount == shape.elementCount * dtype.byteCount, "\(buffer.byteCount) bytes for \(dtype) \(shape)")
        self.dtype = dtype
        self.shape = shape
        self.buffer = buffer
    }

    /// A tensor of unknown content.
    package init(dtype: DType, shape: Shape) throws(MachineError) {
        self.init(dtype: dtype, shape: shape, buffer: try Buffer(byteCount: shape.elementCount * dtype.byteCount, zeroed: false))
    }

    package init(_ tensor: Tensor) { self.init(dtype: .f32, shape: tensor.shape, buffer: tensor.buffer) }

    /// The bytes; valid while this value lives.
    @unsafe package var bytes: UnsafeRawBufferPointer { unsafe buffer.bytes }

    /// Some rows: a copy, where they are not all.
    package func rows(_ range: Range<Int>) throws(MachineError) -> EncodedTensor {
        guard range.count < shape.rows else { return self }
        let result = try EncodedTensor(dtype: dtype, shape: Shape([range.count] + shape.extents.dropFirst()))
        let size = shape.columns * dtype.byteCount
        unsafe result.buffer.mutableBytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * size..<range.upperBound * size]))
        return result
    }

    /// A copy of some rows, in the order given.
    package func rows(_ indices: [Int]) throws(MachineError) -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: Shape([indices.count] + shape.extents.dropFirst()))
        let size = shape.columns * dtype.byteCount
        precondition(indices.allSatisfy { (0..<shape.rows).contains($0) })
        for (place, index) in indices.enumerated() {
            let row = unsafe UnsafeRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size])
            unsafe UnsafeMutableRawBufferPointer(rebasing: result.buffer.mutableBytes[(place * size)...]).copyMemory(from: row)
        }
        return result
    }
}
