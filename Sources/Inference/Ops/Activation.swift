import CKernels
import Glibc
package import Tensors

/// The instruction set that kernels run with.
let isa = ck_isa_best()

/// A pointwise nonlinearity that configurations can name.
package enum Activation: Sendable, Equatable {
    case relu, silu

    /// diffusers' names (models/activations.py); "swish" is its synonym of "silu".
    static let spellings: [(String, Activation)] = [("relu", .relu), ("silu", .silu), ("swish", .silu)]

    /// x = activation(x).
    package func apply(_ x: inout Tensor) {
        switch self {
        case .relu: unsafe x.update { x, count in unsafe ck_relu(isa, x, x, count) }
        case .silu: unsafe x.update { x, count in unsafe ck_silu(isa, x, x, count) }
        }
    }
}

extension Tensor {
    /// Runs a pointwise kernel over all elements, in place.
    @unsafe mutating func update(_ kernel: @Sendable (UnsafeMutablePointer<Float>, Int) -> Void) {
        let elements = unsafe SharedPointer(mutablePointer)
        Parallel.forEach(count, grain: 4096) { range in unsafe kernel(elements.pointer + range.lowerBound, range.count) }
    }

    /// x = gelu(x) in the tanh form.
    mutating func applyGELU() { unsafe update { x, count in unsafe ck_gelu_tanh(isa, x, x, count) } }

    /// x = gelu(x) by the error function: not what SANA-Sprint computes, but what others take for it.
    mutating func applyExactGELU() {
        unsafe update { x, count in
            for index in 0..<count { unsafe x[index] = Float(Double(x[index]) / 2 * (1 + erf(Double(x[index]) / 2.0.squareRoot()))) }
        }
    }
}
