import CUDADriver
import Operations
import Tensors

@testable import CUDAInference

/// The images' half of the executor, to give `RowOperation` its types.
struct CUDA: Executor {
    let engine: Engine

    static var failure: String? { nil }
    func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint { preconditionFailure() }
    func footprint(of work: Work) -> Footprint { preconditionFailure() }
    func linear(_: StoredWeight, _: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> Int { preconditionFailure() }
    func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> DeviceConvolution {
        try engine.convolution(stored, bias: bias)
    }
    func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> DeviceDepthwise { try engine.depthwise(stored, bias: bias) }
    func pointwise(_ stored: StoredWeight) throws(MachineError) -> DevicePointwise { try engine.pointwise(stored) }
    func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> DeviceNorm {
        DeviceNorm(weight: try engine.rows(from: weight), bias: try engine.rows(from: bias!), offset: offset, epsilon: epsilon)
    }
    func rows(from tensor: Tensor) throws(MachineError) -> DeviceRows { try engine.rows(from: tensor) }
    func tensor(from rows: DeviceRows) throws(MachineError) -> Tensor { try engine.tensor(from: rows) }
    func multiply(_: DeviceRows, by: [Int], norm: ModulatedNorm<DeviceRows>?, then: Nonlinearity?) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func add(_: DeviceRows, by: Int, to: inout DeviceRows, gate: DeviceRows?) throws(MachineError) { preconditionFailure() }
    func gated(_: DeviceRows, by: GatedConvolution<CUDA>, norm: ModulatedNorm<DeviceRows>?, grid: Grid?) throws(MachineError) -> DeviceRows {
        preconditionFailure()
    }
    func normed(_: DeviceRows, by: DeviceNorm) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func normed(_: DeviceRows, by: ModulatedNorm<DeviceRows>) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func add(_: DeviceRows, normedBy: DeviceNorm, to: inout DeviceRows) throws(MachineError) { preconditionFailure() }
    func sum(_: DeviceRows, _: DeviceRows) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func row(_: Int, of: DeviceRows) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func activated(_: DeviceRows, by: Nonlinearity) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func linearAttention(
        _: inout DeviceRows, _: LinearAttention.Layout, queryNorm: DeviceNorm?, keyNorm: DeviceNorm?, scales: [(DeviceDepthwise, DevicePointwise)], maps: Int
    ) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func keyValues(_: inout DeviceRows, keyNorm: DeviceNorm?, heads: Int, headDimension: Int) throws(MachineError) -> Int { preconditionFailure() }
    func crossAttention(_: inout DeviceRows, queryNorm: DeviceNorm?, to: [Int]) throws(MachineError) -> DeviceRows { preconditionFailure() }
    func causalAttention(
        _: inout DeviceRows, after: DeviceRows?, _: SoftmaxAttention, rotary: DeviceRows
    ) throws(MachineError) -> (attended: DeviceRows, keyValues: DeviceRows) { preconditionFailure() }
    func run(_ operations: [RowOperation<CUDA>], on map: DeviceRows) throws(MachineError) -> DeviceRows { try engine.run(operations, on: map) }
    func unshuffled(_ map: DeviceRows) throws(MachineError) -> DeviceRows { try engine.unshuffled(map) }
    func addShortcut(_ x: DeviceRows, to y: inout DeviceRows) throws(MachineError) { try engine.addShortcut(x, to: &y) }
}
