/// An 8-bit RGB picture, rows from the top.
package struct Picture: Sendable, Equatable {
    package let width: Int
    package let height: Int
    /// `[height, width, 3]`.
    package let rgb: [UInt8]

    /// - Precondition: three bytes for every pixel.
    package init(width: Int, height: Int, rgb: [UInt8]) {
        precondition(rgb.count == 3 * width * height, "\(rgb.count) bytes for \(width)x\(height)")
        (self.width, self.height, self.rgb) = (width, height, rgb)
    }

    /// The picture in a probe `[height, width, 3]` of bytes; nil when it is none.
    package init?(_ tensor: EncodedTensor) {
        guard tensor.dtype == .u8, tensor.shape.rank == 3, tensor.shape[2] == 3, tensor.shape.elementCount > 0 else { return nil }
        self.init(width: tensor.shape[1], height: tensor.shape[0], rgb: unsafe Array(tensor.bytes))
    }
}
