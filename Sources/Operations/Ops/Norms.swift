import CKernels
package import Tensors

/// Layer norm without parameters, then x * (1 + scale) + shift: the DiT's adaptive norm.
package struct ModulatedNorm<Rows: Sendable>: Sendable {
    /// `[channels]`, as `shift`.
    package let scale: Rows
    package let shift: Rows
    package let epsilon: Double

    package init(scale: Rows, shift: Rows, epsilon: Double) { (self.scale, self.shift, self.epsilon) = (scale, shift, epsilon) }
}

extension CPU {
    /// x [.., channels], normed, in the same shape.
    package func normed(_ x: Tensor, by norm: ModulatedNorm<Tensor>) throws(MachineError) -> Tensor {
        let (channels, epsilon) = (norm.scale.count, norm.epsilon)
        var result = try Tensor(x.shape, zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        let (factor, offset) = unsafe (SharedPointer(reading: norm.scale.pointer), SharedPointer(reading: norm.shift.pointer))
        Parallel.forEach(x.count / channels, grain: 4) { range in
            let start = range.lowerBound * channels
            unsafe ck_layernorm_modulate(
                isa, source.pointer + start, factor.pointer, offset.pointer, epsilon, target.pointer + start, range.count, channels)
        }
        return result
    }
}

/// RMS norm over the channels of a token or pixel, with a weight and in places a bias.
package struct RMSNorm: Sendable {
    private let cpu: CPU
    let weight: Tensor
    let bias: Tensor?
    /// What is added to the weight: Gemma stores weight - 1.
    let weightOffset: Double
    let epsilon: Double

    package init(weight: Tensor, bias: Tensor? = nil, weightOffset: Double = 0, epsilon: Double, on cpu: CPU) {
        (self.weight, self.bias, self.weightOffset, self.epsilon, self.cpu) = (weight, bias, weightOffset, epsilon, cpu)
    }

    package func callAsFunction(_ x: Tensor) throws(MachineError) -> Tensor {
        var result = try Tensor(x.shape, zeroed: false)
        unsafe apply(x.pointer, to: result.mutablePointer, rows: x.count / weight.count, stride: weight.count)
        return result
    }

    /// Norms the columns `column ..< column + channels` in place.
    package func apply(_ x: inout Tensor, column: Int) {
        let elements = unsafe x.mutablePointer + column
        unsafe apply(elements, to: elements, rows: x.count / x.channels, stride: x.channels)
    }

    private func apply(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, rows: Int, stride: Int) {
        let (channels, isa) = (weight.count, cpu.isa)
        let (source, target, factor) = unsafe (SharedPointer(reading: x), SharedPointer(y), SharedPointer(reading: weight.pointer))
        let offset = unsafe bias.map { unsafe SharedPointer(reading: $0.pointer) }
        Parallel.forEach(rows, grain: 4) { range in
            for row in range {
                unsafe ck_rmsnorm(
                    isa, source.pointer + row * stride, factor.pointer, offset?.pointer, weightOffset, epsilon, target.pointer + row * stride, 1, channels)
            }
        }
    }
}
