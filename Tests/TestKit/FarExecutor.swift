package import Operations
import PackedFiles
import Synchronization
package import Tensors

/// An executor that keeps its values where models cannot read them, as a device does, and counts what it is asked for. It computes what the CPU does.
package struct FarExecutor: Executor {
    /// Values that nothing but this executor reads.
    package struct Rows: Sendable { fileprivate var tensor: Tensor }

    package struct Counts: Sendable, Equatable {
        package var layers = 0
        package var operations = 0
        /// Values that were moved here, and from here.
        package var into = 0
        package var out = 0
    }

    private final class Counter: Sendable { let counts = Mutex(Counts()) }

    /// What it does wrong, to be found.
    package enum Fault: Sendable, Equatable {
        /// One bit of a weight's first plane has changed on its way here.
        case flippedBit(weight: String)
        /// Products of many rows have a last channel that is off by a thousandth.
        case manyRows
    }

    private let cpu: CPU
    private let counter = Counter()
    private let fault: Fault?
    private let memory: (free: Int, total: Int)?

    /// - Parameter memory: what it says of memory of its own.
    package init(_ fault: Fault? = nil, on cpu: CPU = .best, memory: (free: Int, total: Int)? = nil) {
        (self.fault, self.cpu, self.memory) = (fault, cpu, memory)
    }

    package func ownMemory() -> (free: Int, total: Int)? { memory }

    /// What has been counted since it was last taken.
    package func take() -> Counts {
        counter.counts.withLock { counts in
            defer { counts = Counts() }
            return counts
        }
    }

    private func count(_ change: (inout Counts) -> Void) { counter.counts.withLock { change(&$0) } }

    private func operate() -> CPU {
        count { $0.operations += 1 }
        return cpu
    }

    private func load() -> CPU {
        count { $0.layers += 1 }
        return cpu
    }

    package static var failure: String? { CPU.failure }
    package func byteCount(of values: Int) -> Int { cpu.byteCount(of: values) }
    package func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint { cpu.footprint(of: weight, as: kind) }
    package func footprint(of work: Work) -> Footprint { cpu.footprint(of: work) }

    package func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> CPU.Linear {
        try load().linear(arrived(stored), outputs, bias: bias, compute: compute)
    }
    package func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> CPU.Convolution {
        try load().convolution(arrived(stored), bias: bias, often: often)
    }
    package func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> CPU.Depthwise { try load().depthwise(stored, bias: bias) }
    package func pointwise(_ stored: StoredWeight) throws(MachineError) -> CPU.Pointwise { try load().pointwise(stored) }
    package func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> CPU.Norm {
        load().norm(weight: weight, bias: bias, offset: offset, epsilon: epsilon)
    }

    package func rows(from tensor: Tensor) throws(MachineError) -> Rows {
        count { $0.into += tensor.count }
        return Rows(tensor: try tensor.copy())
    }
    package func tensor(from rows: Rows) throws(MachineError) -> Tensor {
        count { $0.out += rows.tensor.count }
        return try rows.tensor.copy()
    }

    package func multiply(_ x: Rows, by parts: [CPU.Linear], norm: ModulatedNorm<Rows>?, then: Nonlinearity?) throws(MachineError) -> Rows {
        var result = try operate().multiply(x.tensor, by: parts, norm: norm.map(near), then: then)
        if fault == .manyRows, result.count / result.shape[result.shape.rank - 1] > 32 {
            var elements = result.mutableSpan
            elements[elements.count - 1] *= 1.001
        }
        return Rows(tensor: result)
    }
    package func add(_ x: Rows, by linear: CPU.Linear, to residual: inout Rows, gate: Rows?) throws(MachineError) {
        try operate().add(x.tensor, by: linear, to: &residual.tensor, gate: gate?.tensor)
    }
    package func gated(_ x: Rows, by layer: GatedConvolution<Self>, norm: ModulatedNorm<Rows>?, grid: Grid?) throws(MachineError) -> Rows {
        Rows(tensor: try operate().gated(x.tensor, by: layer.on(CPU.self) { $0 }, norm: norm.map(near), grid: grid))
    }

    package func normed(_ x: Rows, by norm: CPU.Norm) throws(MachineError) -> Rows { Rows(tensor: try operate().normed(x.tensor, by: norm)) }
    package func normed(_ x: Rows, by norm: ModulatedNorm<Rows>) throws(MachineError) -> Rows { Rows(tensor: try operate().normed(x.tensor, by: near(norm))) }
    package func add(_ x: Rows, normedBy norm: CPU.Norm, to residual: inout Rows) throws(MachineError) {
        try operate().add(x.tensor, normedBy: norm, to: &residual.tensor)
    }
    package func sum(_ a: Rows, _ b: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().sum(a.tensor, b.tensor)) }
    package func row(_ index: Int, of x: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().row(index, of: x.tensor)) }
    package func activated(_ x: Rows, by nonlinearity: Nonlinearity) throws(MachineError) -> Rows {
        Rows(tensor: try operate().activated(x.tensor, by: nonlinearity))
    }

    package func linearAttention(
        _ qkv: inout Rows, _ layout: LinearAttention.Layout, queryNorm: CPU.Norm?, keyNorm: CPU.Norm?, scales: [(CPU.Depthwise, CPU.Pointwise)], maps: Int
    ) throws(MachineError) -> Rows {
        Rows(tensor: try operate().linearAttention(&qkv.tensor, layout, queryNorm: queryNorm, keyNorm: keyNorm, scales: scales, maps: maps))
    }
    package func keyValues(_ rows: inout Rows, keyNorm: CPU.Norm?, heads: Int, headDimension: Int) throws(MachineError) -> CPU.KeyValues {
        try operate().keyValues(&rows.tensor, keyNorm: keyNorm, heads: heads, headDimension: headDimension)
    }
    package func crossAttention(_ queries: inout Rows, queryNorm: CPU.Norm?, to prompts: [CPU.KeyValues]) throws(MachineError) -> Rows {
        Rows(tensor: try operate().crossAttention(&queries.tensor, queryNorm: queryNorm, to: prompts))
    }
    package func causalAttention(
        _ qkv: inout Rows, after prefix: Rows?, _ attention: SoftmaxAttention, rotary: Rows
    ) throws(MachineError) -> (attended: Rows, keyValues: Rows) {
        let (attended, keyValues) = try operate().causalAttention(&qkv.tensor, after: prefix?.tensor, attention, rotary: rotary.tensor)
        return (Rows(tensor: attended), Rows(tensor: keyValues))
    }

    package func run(_ operations: [RowOperation<Self>], on map: Rows) throws(MachineError) -> Rows {
        Rows(tensor: try operate().run(operations.map { $0.on(CPU.self) }, on: map.tensor))
    }
    package func unshuffled(_ map: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().unshuffled(map.tensor)) }
    package func addShortcut(_ x: Rows, to y: inout Rows) throws(MachineError) { operate().addShortcut(x.tensor, to: &y.tensor) }

    /// The weight as it lies here.
    private func arrived(_ stored: StoredWeight) throws(MachineError) -> StoredWeight {
        guard fault == .flippedBit(weight: stored.name) else { return stored }
        var bytes = stored.planes[0].contents
        bytes[bytes.count / 2] ^= 1
        let plane = try EncodedTensor(dtype: stored.planes[0].dtype, shape: stored.planes[0].shape, copying: bytes)
        return StoredWeight(stored.scheme, stored.shape, planes: [plane] + stored.planes.dropFirst(), activations: stored.activations)
    }

    private func near(_ norm: ModulatedNorm<Rows>) -> ModulatedNorm<Tensor> {
        ModulatedNorm(scale: norm.scale.tensor, shift: norm.shift.tensor, epsilon: norm.epsilon)
    }
}
