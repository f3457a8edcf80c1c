package import Operations
internal import PackedFiles
package import Tensors

/// A dense 3x3 convolution with padding 1 over channels-last maps, with its weights on a device.
///
/// Weights that the integer contract of Formats/schemes.md multiplies are there in codes, as the CPU's `Convolution` has it; all others in float32.
package struct DeviceConvolution: Sendable {
    enum Weights: Sendable {
        /// `[outputs, 9, pitch]` and scales `[outputs]`.
        case integers(codes: Engine.Block, scales: DeviceRows)
        /// `[outputs, 9, inputs]`.
        case floats(Engine.Block)
    }

    let outputs: Int
    let inputs: Int
    let weights: Weights
    let bias: DeviceRows?

    var isInteger: Bool {
        if case .integers = weights { true } else { false }
    }

    /// What the convolution of a weight takes on the device; its bias is counted where it is a weight.
    package static func footprint(of weight: WeightSize) -> Footprint {
        let (outputs, inputs) = (weight.shape.rows, weight.shape.columns / 9)
        guard Convolution.multipliesIntegers(weight.form) else { return Footprint(kept: Engine.size(of: 9 * outputs * inputs)) }
        return Footprint(kept: Engine.size(for: 9 * outputs * DeviceForm.pitch(inputs)) + Engine.size(of: outputs))
    }
}

extension Engine {
    /// The convolution of a weight `[outputs, 3, 3, inputs]`.
    package func convolution(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> DeviceConvolution {
        let (outputs, inputs) = (stored.shape.rows, stored.shape.columns / 9)
        precondition(stored.shape.columns % 9 == 0 && bias.map { $0.count == outputs } ?? true)
        let weights: DeviceConvolution.Weights
        if Convolution.multipliesIntegers(stored.form), let rows = try stored.integerRows() {
            let taps = EncodedTensor(dtype: .i8, shape: [9 * outputs, inputs], buffer: rows.codes.buffer)
            let codes = try matrix(0..<9 * outputs, of: inputs, pitch: DeviceForm.pitch(inputs)) { some throws(MachineError) in try taps.rows(some) }
            weights = .integers(codes: codes, scales: try self.rows(from: Tensor(sharing: rows.scales)))
        } else {
            weights = .floats(
                try matrix(0..<outputs, of: 36 * inputs, pitch: 36 * inputs) { some throws(MachineError) in
                    EncodedTensor(try stored.rows(some).widened())
                })
        }
        return DeviceConvolution(
            outputs: outputs, inputs: inputs, weights: weights, bias: try bias.map { bias throws(MachineError) in try self.rows(from: bias) })
    }
}
