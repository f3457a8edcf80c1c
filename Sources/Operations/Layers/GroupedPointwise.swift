package import Tensors

/// A 1x1 convolution in groups of equal width: each group of channels has a small square linear of its own, without bias.
package struct GroupedPointwise: Sendable {
    /// `[channels, group width]`.
    private let weight: Tensor

    package init(_ weight: Tensor) { self.weight = weight }

    /// x [.., channels] to the same shape.
    package func callAsFunction(_ x: Tensor) throws(MachineError) -> Tensor {
        let (channels, width) = (weight.rows, weight.columns)
        precondition(x.shape[x.shape.rank - 1] == channels && channels % width == 0)
        var result = try Tensor(x.shape, zeroed: false)
        let out = unsafe result.mutablePointer
        for start in stride(from: 0, to: channels, by: width) {
            unsafe BLAS.multiply(
                x.pointer + start, lda: channels, weight.pointer + start * width, ldb: width, transposed: true, into: out + start, ldc: channels,
                m: x.count / channels, n: width, k: width)
        }
        return result
    }
}
