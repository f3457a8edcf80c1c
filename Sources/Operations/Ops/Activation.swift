import CKernels
import Glibc
package import Tensors

/// A pointwise nonlinearity that configurations can name.
package enum Activation: Sendable, Equatable {
    case relu, silu

    /// diffusers' names (models/activations.py); "swish" is its synonym of "silu".
    package static let spellings: [(String, Activation)] = [("relu", .relu), ("silu", .silu), ("swish", .silu)]
}

extension CPU {
    /// x = activation(x).
    package func apply(_ activation: Activation, to x: inout Tensor) {
        switch activation {
        case .relu: unsafe x.update { x, count in unsafe ck_relu(isa, x, x, count) }
        case .silu: unsafe x.update { x, count in unsafe ck_silu(isa, x, x, count) }
        }
    }

    /// x = gelu(x) in the tanh form.
    package func applyGELU(to x: inout Tensor) { unsafe x.update { x, count in unsafe ck_gelu_tanh(isa, x, x, count) } }

    /// x = gelu(x) by the error function: not what SANA-Sprint computes, but what others take for it.
    package func applyExactGELU(to x: inout Tensor) {
        unsafe x.update { x, count in
            for index in 0..<count { unsafe x[index] = Float(Double(x[index]) / 2 * (1 + erf(Double(x[index]) / 2.0.squareRoot()))) }
        }
    }
}

extension Tensor {
    /// Runs a pointwise kernel over all elements, in place.
    @unsafe fileprivate mutating func update(_ kernel: @Sendable (UnsafeMutablePointer<Float>, Int) -> Void) {
        let elements = unsafe SharedPointer(mutablePointer)
        Parallel.forEach(count, grain: 4096) { range in unsafe kernel(elements.pointer + range.lowerBound, range.count) }
    }
}
