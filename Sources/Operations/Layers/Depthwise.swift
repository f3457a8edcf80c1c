import CKernels
package import Tensors

/// A depthwise convolution with an odd square kernel, stride 1 and same padding, over channels-last maps.
package struct Depthwise: Sendable {
    private let cpu: CPU
    /// Tap-major, `[kernel * kernel, channels]`.
    private let weight: Tensor
    private let bias: Tensor?
    private let kernel: Int

    /// - Parameter weight: `[channels, kernel, kernel]`, as packed.
    package init(_ weight: Tensor, bias: Tensor?, on cpu: CPU) throws(MachineError) {
        self.cpu = cpu
        kernel = weight.shape[1]
        self.weight = try ImageLayout.transpose(weight, rows: weight.rows, columns: weight.columns, as: [weight.columns, weight.rows])
        self.bias = bias
    }

    /// What it takes of a weight: the taps, and the values that they are turned from.
    static func footprint(of weight: WeightSize) -> Footprint { Footprint(kept: weight.floatBytes, passing: weight.widenedBytes) }

    /// x [h, w, channels] to the same shape.
    package func callAsFunction(_ x: Tensor) throws(MachineError) -> Tensor {
        try self(x, maps: 1, height: x.shape[0], width: x.shape[1])
    }

    /// Maps `x` of `height` x `width` pixels one below the other, to the same shape.
    func callAsFunction(_ x: Tensor, maps: Int, height: Int, width: Int) throws(MachineError) -> Tensor {
        precondition(x.count == maps * height * width * channels)
        var result = try Tensor(x.shape, zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(maps * height) { range in
            for row in range {
                let offset = row / height * height * width * channels
                unsafe ck_depthwise(
                    cpu.isa, source.pointer + offset, weight.pointer, bias?.pointer, target.pointer + offset, height, width, channels, kernel, row % height,
                    row % height + 1)
            }
        }
        return result
    }

    var channels: Int { weight.columns }

    /// The weights from a channel on, rows of taps `channels` apart, and the biases.
    /// - Precondition: there are biases.
    @unsafe func taps(from channel: Int) -> (weight: UnsafePointer<Float>, bias: UnsafePointer<Float>) {
        unsafe (weight.pointer + channel, bias!.pointer + channel)
    }
}
