import Tensors

/// What a `RowChain` can do to the rows of an image.
package enum RowOperation: Sendable {
    /// A 3x3 convolution; with `step` 2 it keeps every second row and column.
    case convolution(Convolution, step: Int = 1)
    /// A 3x3 convolution of the image doubled in both directions by repetition.
    case doubling(Convolution, shortcut: Bool)
    /// A 3x3 convolution to four times the channels, which become two by two pixels.
    case shuffling(Convolution, shortcut: Bool)
    /// x + norm(second(activation(first(x)))).
    case residual(first: Convolution, activation: Activation, second: Convolution, norm: RMSNorm)
    /// activation(norm(x)).
    case norm(RMSNorm, Activation)

    /// Whether it reads its input quantized.
    var readsIntegers: Bool {
        switch self {
        case .convolution(let convolution, _), .doubling(let convolution, _), .shuffling(let convolution, _): convolution.isInteger
        case .residual(let first, _, _, _): first.isInteger
        case .norm: false
        }
    }
}
