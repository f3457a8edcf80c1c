import CKernels
import Glibc
package import Tensors

/// A pointwise nonlinearity that configurations can name.
package enum Activation: Sendable, Equatable {
    case relu, silu

    /// diffusers' names (models/activations.py); "swish" is its synonym of "silu".
    package static let spellings: [(String, Activation)] = [("relu", .relu), ("silu", .silu), ("swish", .silu)]
}

/// What follows a linear.
package enum Nonlinearity: Sendable {
    case silu
    /// In the tanh form.
    case gelu
    /// By the error function: not what SANA-Sprint computes, but what others take for it.
    case exactGELU
    /// [.., 2h] to [.., h]: gelu of the first half in the tanh form, times the second, as Gemma's MLP gates.
    case geluGate
}

extension CPU {
    /// x = activation(x).
    package func apply(_ activation: Activation, to x: inout Tensor) {
        switch activation {
        case .relu: unsafe x.update { x, count in unsafe ck_relu(isa, x, x, count) }
        case .silu: unsafe x.update { x, count in unsafe ck_silu(isa, x, x, count) }
        }
    }

    func activate(_ x: inout Tensor, by nonlinearity: Nonlinearity) throws(MachineError) {
        switch nonlinearity {
        case .silu: apply(.silu, to: &x)
        case .gelu: unsafe x.update { x, count in unsafe ck_gelu_tanh(isa, x, x, count) }
        case .exactGELU:
            unsafe x.update { x, count in
                for index in 0..<count { unsafe x[index] = Float(Double(x[index]) / 2 * (1 + erf(Double(x[index]) / 2.0.squareRoot()))) }
            }
        case .geluGate: x = try geluGated(x)
        }
    }

    package func activated(_ x: Tensor, by nonlinearity: Nonlinearity) throws(MachineError) -> Tensor {
        var result = try x.copy()
        try activate(&result, by: nonlinearity)
        return result
    }
}

extension Tensor {
    /// Runs a pointwise kernel over all elements, in place.
    @unsafe fileprivate mutating func update(_ kernel: @Sendable (UnsafeMutablePointer<Float>, Int) -> Void) {
        let elements = unsafe SharedPointer(mutablePointer)
        Parallel.forEach(count, grain: 4096) { range in unsafe kernel(elements.pointer + range.lowerBound, range.count) }
    }
}
