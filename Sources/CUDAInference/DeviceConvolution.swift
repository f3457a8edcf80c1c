internal import CGPUKernels
internal import CUDADriver
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
        case floats(DeviceRows)
    }

    let outputs: Int
    let inputs: Int
    let weights: Weights
    let bias: DeviceRows?

    var isInteger: Bool {
        if case .integers = weights { true } else { false }
    }

    /// Bytes of the codes of a pixel, or of a tap of a weight: zeros lie behind them.
    static func pitch(_ channels: Int) -> Int { (channels + 63) / 64 * 64 }

    /// What the convolution of a weight takes on the device; its bias is counted where it is a weight.
    package static func footprint(of weight: WeightSize) -> Footprint {
        let (outputs, inputs) = (weight.shape.rows, weight.shape.columns / 9)
        guard Convolution.multipliesIntegers(weight.form) else { return Footprint(kept: Engine.size(for: 36 * outputs * inputs)) }
        return Footprint(kept: Engine.size(for: 9 * outputs * pitch(inputs)) + Engine.size(for: 4 * outputs))
    }
}

extension Engine {
    /// The convolution of a weight `[outputs, 3, 3, inputs]`.
    package func convolution(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> DeviceConvolution {
        let (outputs, inputs) = (stored.shape.rows, stored.shape.columns / 9)
        precondition(stored.shape.columns % 9 == 0 && bias.map { $0.count == outputs } ?? true)
        let weights: DeviceConvolution.Weights
        if Convolution.multipliesIntegers(stored.form), let rows = try stored.integerRows() {
            weights = .integers(codes: try codes(rows.codes, rows: 9 * outputs, of: inputs), scales: try self.rows(from: Tensor(sharing: rows.scales)))
        } else {
            weights = .floats(try rows(from: stored.floats()))
        }
        return DeviceConvolution(
            outputs: outputs, inputs: inputs, weights: weights, bias: try bias.map { bias throws(MachineError) in try self.rows(from: bias) })
    }

    /// Rows of codes with zeros behind them.
    private func codes(_ plane: EncodedTensor, rows: Int, of columns: Int) throws(MachineError) -> Block {
        let pitch = DeviceConvolution.pitch(columns)
        let block = try take(rows * pitch)
        try onDevice { () throws(DeviceError) in
            let place = block.slice(rows * pitch)
            if pitch > columns { try stream.fill(place, with: 0) }
            let source = unsafe plane.bytes
            defer { withExtendedLifetime(plane) {} }
            try unsafe uploads.upload(rows: rows, of: columns, to: place, pitch: pitch) { some, bytes in
                unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[some.lowerBound * columns..<some.upperBound * columns]))
            }
        }
        return block
    }
}
