internal import CGPUKernels
package import Operations
package import Tensors

/// A depthwise convolution with an odd square kernel, stride 1 and same padding, with its weights on a device.
package struct DeviceDepthwise: Sendable {
    /// Tap-major, `[kernel * kernel, channels]`.
    let weight: DeviceRows
    let bias: DeviceRows?
    let kernel: Int

    var channels: Int { weight.channels }

    package static func footprint(of weight: WeightSize) -> Footprint { Footprint(kept: Engine.size(of: weight.shape.elementCount)) }
}

/// A 1x1 convolution in groups of equal width, with its weights `[channels, group width]` on a device.
package struct DevicePointwise: Sendable {
    let weight: DeviceRows
}

extension Engine {
    /// The depthwise convolution of a weight `[channels, kernel, kernel]`.
    package func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> DeviceDepthwise {
        let (weight, shape) = (try stored.floats(), stored.shape)
        precondition(bias.map { $0.count == shape.rows } ?? true)
        let taps = try ImageLayout.transpose(weight, rows: shape.rows, columns: shape.columns, as: [shape.columns, shape.rows])
        return DeviceDepthwise(
            weight: try rows(from: taps), bias: try bias.map { bias throws(MachineError) in try self.rows(from: bias) }, kernel: shape[1])
    }

    package func pointwise(_ stored: StoredWeight) throws(MachineError) -> DevicePointwise { DevicePointwise(weight: try rows(from: stored.floats())) }

    /// x [h, w, channels] to the same shape.
    package func applied(_ layer: DeviceDepthwise, to x: DeviceRows) throws(MachineError) -> DeviceRows {
        precondition(x.shape.rank == 3 && x.channels == layer.channels)
        let result = try fresh(x.shape)
        let argument = cg_depthwise(
            x: x.address, w: layer.weight.address, bias: layer.bias?.address ?? 0, y: result.address, count: UInt32(x.count), height: cg_int(x.shape[0]),
            width: cg_int(x.shape[1]), channels: cg_int(x.channels), kernel: cg_int(layer.kernel))
        try launch("depthwise", grid: (Self.pieces(x.count, of: 1024), 1, 1), argument)
        return result
    }

    /// x [.., channels] to the same shape.
    package func applied(_ layer: DevicePointwise, to x: DeviceRows) throws(MachineError) -> DeviceRows {
        let (channels, width) = (layer.weight.shape.rows, layer.weight.shape.columns)
        precondition(x.channels == channels && channels % width == 0)
        let result = try fresh(x.shape)
        let argument = cg_pointwise(
            x: x.address, w: layer.weight.address, y: result.address, count: UInt32(x.count), channels: cg_int(channels), width: cg_int(width))
        try launch("pointwise", grid: (Self.pieces(x.count, of: 256), 1, 1), argument)
        return result
    }
}
