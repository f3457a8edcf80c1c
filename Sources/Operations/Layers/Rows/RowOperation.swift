import Tensors

/// What an executor can do to the rows of an image, one after the other.
package enum RowOperation<E: Executor>: Sendable {
    /// A 3x3 convolution; with `step` 2 it keeps every second row and column.
    case convolution(E.Convolution, step: Int = 1)
    /// A 3x3 convolution of the image doubled in both directions by repetition.
    case doubling(E.Convolution, shortcut: Bool)
    /// A 3x3 convolution to four times the channels, which become two by two pixels.
    case shuffling(E.Convolution, shortcut: Bool)
    /// x + norm(second(activation(first(x)))).
    case residual(first: E.Convolution, activation: Activation, second: E.Convolution, norm: E.Norm)
    /// activation(norm(x)).
    case norm(E.Norm, Activation)
}

extension RowOperation {
    /// The same operation for an executor that has these convolutions and norms.
    package func on<Other: Executor>(_: Other.Type) -> RowOperation<Other> where Other.Convolution == E.Convolution, Other.Norm == E.Norm {
        switch self {
        case .convolution(let convolution, let step): .convolution(convolution, step: step)
        case .doubling(let convolution, let shortcut): .doubling(convolution, shortcut: shortcut)
        case .shuffling(let convolution, let shortcut): .shuffling(convolution, shortcut: shortcut)
        case .residual(let first, let activation, let second, let norm): .residual(first: first, activation: activation, second: second, norm: norm)
        case .norm(let norm, let activation): .norm(norm, activation)
        }
    }
}

extension RowOperation<CPU> {
    /// Whether it reads its input quantized.
    var readsIntegers: Bool {
        switch self {
        case .convolution(let convolution, _), .doubling(let convolution, _), .shuffling(let convolution, _): convolution.isInteger
        case .residual(let first, _, _, _): first.isInteger
        case .norm: false
        }
    }
}
