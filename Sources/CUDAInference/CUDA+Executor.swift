package import CUDADriver
package import Operations
package import Tensors

/// The executor of models on a GPU: values stay on it from a stage's beginning to its end.
package struct CUDA: Executor {
    package typealias Rows = DeviceRows
    package typealias Linear = DeviceLinear
    package typealias Convolution = DeviceConvolution
    package typealias Depthwise = DeviceDepthwise
    package typealias Pointwise = DevicePointwise
    package typealias Norm = DeviceNorm
    package typealias KeyValues = DeviceKeyValues

    package let engine: Engine

    /// - Parameter compiling: is told before the driver is given kernels, which it compiles the first time on a machine.
    /// - Parameter records: false only to see that it changes nothing.
    package init(_ device: Device, records: Bool = true, compiling: @escaping @Sendable () -> Void = {}) throws(MachineError) {
        engine = try Engine(device, records: records, compiling: compiling)
    }

    /// There is a device, or there is no value of this type.
    package static var failure: String? { nil }

    /// Bytes of the device that nobody uses, and all there are.
    package func ownMemory() throws(MachineError) -> (free: Int, total: Int)? { try engine.memory() }

    // MARK: - Loading

    package func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> DeviceLinear {
        try engine.linear(stored, outputs, bias: bias, compute: compute)
    }
    package func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> DeviceConvolution {
        try engine.convolution(stored, bias: bias)
    }
    package func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> DeviceDepthwise { try engine.depthwise(stored, bias: bias) }
    package func pointwise(_ stored: StoredWeight) throws(MachineError) -> DevicePointwise { try engine.pointwise(stored) }
    package func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> DeviceNorm {
        try engine.norm(weight: weight, bias: bias, offset: offset, epsilon: epsilon)
    }

    // MARK: - Moving

    package func rows(from tensor: Tensor) throws(MachineError) -> DeviceRows { try engine.rows(from: tensor) }
    package func tensor(from rows: DeviceRows) throws(MachineError) -> Tensor { try engine.tensor(from: rows) }

    // MARK: - Products

    package func multiply(
        _ x: DeviceRows, by parts: [DeviceLinear], norm: ModulatedNorm<DeviceRows>?, then: Nonlinearity?
    ) throws(MachineError) -> DeviceRows {
        try engine.multiply(x, by: parts, norm: norm, then: then)
    }
    package func add(_ x: DeviceRows, by linear: DeviceLinear, to residual: inout DeviceRows, gate: DeviceRows?) throws(MachineError) {
        try engine.add(x, by: linear, to: &residual, gate: gate)
    }
    package func gated(
        _ x: DeviceRows, by layer: GatedConvolution<CUDA>, norm: ModulatedNorm<DeviceRows>?, grid: Grid?
    ) throws(MachineError) -> DeviceRows {
        let grid = grid ?? Grid(height: x.shape[0], width: x.shape[1])
        return try engine.gated(x, by: [layer.value, layer.gate], norm: norm, layer.depthwise, grid)
    }

    // MARK: - Norms and sums

    package func normed(_ x: DeviceRows, by norm: DeviceNorm) throws(MachineError) -> DeviceRows { try engine.normed(x, by: norm) }
    package func normed(_ x: DeviceRows, by norm: ModulatedNorm<DeviceRows>) throws(MachineError) -> DeviceRows { try engine.normed(x, by: norm) }
    package func add(_ x: DeviceRows, normedBy norm: DeviceNorm, to residual: inout DeviceRows) throws(MachineError) {
        try engine.add(x, normedBy: norm, to: &residual)
    }
    package func sum(_ a: DeviceRows, _ b: DeviceRows) throws(MachineError) -> DeviceRows { try engine.sum(a, b) }
    package func row(_ index: Int, of x: DeviceRows) throws(MachineError) -> DeviceRows { try engine.row(index, of: x) }
    package func activated(_ x: DeviceRows, by nonlinearity: Nonlinearity) throws(MachineError) -> DeviceRows { try engine.activated(x, by: nonlinearity) }

    // MARK: - Attention

    package func linearAttention(
        _ qkv: inout DeviceRows, _ layout: LinearAttention.Layout, queryNorm: DeviceNorm?, keyNorm: DeviceNorm?,
        scales: [(DeviceDepthwise, DevicePointwise)], maps: Int
    ) throws(MachineError) -> DeviceRows {
        try engine.linearAttention(&qkv, layout, queryNorm: queryNorm, keyNorm: keyNorm, scales: scales, maps: maps)
    }
    package func keyValues(
        _ rows: inout DeviceRows, keyNorm: DeviceNorm?, heads: Int, headDimension: Int
    ) throws(MachineError) -> DeviceKeyValues {
        try engine.keyValues(&rows, keyNorm: keyNorm, heads: heads, headDimension: headDimension)
    }
    package func crossAttention(
        _ queries: inout DeviceRows, queryNorm: DeviceNorm?, to prompts: [DeviceKeyValues]
    ) throws(MachineError) -> DeviceRows {
        try engine.crossAttention(&queries, queryNorm: queryNorm, to: prompts)
    }
    package func causalAttention(
        _ qkv: inout DeviceRows, after prefix: DeviceRows?, _ attention: SoftmaxAttention, rotary: DeviceRows
    ) throws(MachineError) -> (attended: DeviceRows, keyValues: DeviceRows) {
        try engine.causalAttention(&qkv, after: prefix, attention, rotary: rotary)
    }

    // MARK: - Work that is done again

    package func again<Failure: MachineFailure>(
        _ work: RepeatedWork, _ numbers: [Int], _ inputs: RepeatedInputs<CUDA>, _ body: (RepeatedInputs<CUDA>) throws(Failure) -> DeviceRows
    ) throws(Failure) -> DeviceRows {
        try engine.again(work, numbers, inputs, body)
    }

    // MARK: - Images

    package func run(_ operations: [RowOperation<CUDA>], on map: DeviceRows) throws(MachineError) -> DeviceRows { try engine.run(operations, on: map) }
    package func unshuffled(_ map: DeviceRows) throws(MachineError) -> DeviceRows { try engine.unshuffled(map) }
    package func addShortcut(_ x: DeviceRows, to y: inout DeviceRows) throws(MachineError) { try engine.addShortcut(x, to: &y) }
}
