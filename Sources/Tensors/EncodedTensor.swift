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
    package init(dtype: DType, shape: Shape) throws(AllocationError) {
        self.init(dtype: dtype, shape: shape, buffer: try Buffer(byteCount: shape.elementCount * dtype.byteCount, zeroed: false))
    }

    package init(_ tensor: Tensor) { self.init(dtype: .f32, shape: tensor.shape, buffer: tensor.buffer) }

    /// The bytes; valid while this value lives.
    @unsafe package var bytes: UnsafeRawBufferPointer { unsafe buffer.bytes }
}
