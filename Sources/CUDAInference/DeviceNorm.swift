internal import CGPUKernels
package import Operations
package import Tensors

/// An RMS norm over the channels, x / sqrt(mean(x^2) + epsilon) * (offset + weight) + bias.
package struct DeviceNorm: Sendable {
    let weight: DeviceRows
    let bias: DeviceRows?
    let offset: Double
    let epsilon: Double
}

extension Engine {
    package func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> DeviceNorm {
        DeviceNorm(
            weight: try rows(from: weight), bias: try bias.map { bias throws(MachineError) in try rows(from: bias) }, offset: offset, epsilon: epsilon)
    }

    package func normed(_ x: DeviceRows, by norm: DeviceNorm) throws(MachineError) -> DeviceRows {
        let result = try fresh(x.shape)
        precondition(norm.weight.count == x.channels)
        try launch("rms_norm", grid: (x.rows, 1, 1), argument(x.address, result.address, stride: x.channels, norm))
        return result
    }

    /// Norms the columns from one on in place, where there is a norm.
    func norm(_ x: inout DeviceRows, column: Int, by norm: DeviceNorm?) throws(MachineError) {
        guard let norm else { return }
        precondition(column + norm.weight.count <= x.channels)
        try own(&x)
        let place = x.address(at: column)
        try launch("rms_norm", grid: (x.rows, 1, 1), argument(place, place, stride: x.channels, norm))
    }

    private func argument(_ x: UInt64, _ y: UInt64, stride: Int, _ norm: DeviceNorm) -> cg_norm {
        let (epsilon, rest) = Self.split(norm.epsilon)
        return cg_norm(
            x: x, y: y, weight: norm.weight.address, bias: norm.bias?.address ?? 0, offset: Float(norm.offset), epsilon: epsilon, epsilonRest: rest,
            columns: cg_int(norm.weight.count), ldx: cg_int(stride), ldy: cg_int(stride))
    }

    /// Layer norm with a modulation by itself.
    package func normed(_ x: DeviceRows, by norm: ModulatedNorm<DeviceRows>) throws(MachineError) -> DeviceRows {
        precondition(norm.scale.count == x.channels && norm.shift.count == x.channels)
        let result = try fresh(x.shape)
        let (epsilon, rest) = Self.split(norm.epsilon)
        let argument = cg_norm(
            x: x.address, y: result.address, weight: norm.scale.address, bias: norm.shift.address, offset: 0, epsilon: epsilon, epsilonRest: rest,
            columns: cg_int(x.channels), ldx: cg_int(x.channels), ldy: cg_int(x.channels))
        try launch("layer_norm", grid: (x.rows, 1, 1), argument)
        return result
    }

    /// Updates residual += norm(x).
    package func add(_ x: DeviceRows, normedBy norm: DeviceNorm, to residual: inout DeviceRows) throws(MachineError) {
        try add(try normed(x, by: norm), to: &residual)
    }

    /// A double as the two floats that kernels take.
    static func split(_ value: Double) -> (Float, rest: Float) { (Float(value), rest: Float(value - Double(Float(value)))) }
}
