import Operations
import Synchronization
import Tensors

/// An executor that keeps its values where models cannot read them, as a device does, and counts what it is asked for. It computes what the CPU does.
struct FarExecutor: Executor {
    /// Values that nothing but this executor reads.
    struct Rows: Sendable { fileprivate var tensor: Tensor }

    struct Counts: Sendable, Equatable {
        var layers = 0
        var operations = 0
        /// Values that were moved here, and from here.
        var into = 0
        var out = 0
    }

    private final class Counter: Sendable { let counts = Mutex(Counts()) }

    private let cpu = CPU.best
    private let counter = Counter()

    /// What has been counted since it was last taken.
    func take() -> Counts {
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

    static var failure: String? { CPU.failure }
    func byteCount(of values: Int) -> Int { cpu.byteCount(of: values) }
    func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint { cpu.footprint(of: weight, as: kind) }
    func footprint(of work: Work) -> Footprint { cpu.footprint(of: work) }

    func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> CPU.Linear {
        try load().linear(stored, outputs, bias: bias, compute: compute)
    }
    func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> CPU.Convolution {
        try load().convolution(stored, bias: bias, often: often)
    }
    func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> CPU.Depthwise { try load().depthwise(stored, bias: bias) }
    func pointwise(_ stored: StoredWeight) throws(MachineError) -> CPU.Pointwise { try load().pointwise(stored) }
    func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> CPU.Norm {
        load().norm(weight: weight, bias: bias, offset: offset, epsilon: epsilon)
    }

    func rows(from tensor: Tensor) throws(MachineError) -> Rows {
        count { $0.into += tensor.count }
        return Rows(tensor: try tensor.copy())
    }
    func tensor(from rows: Rows) throws(MachineError) -> Tensor {
        count { $0.out += rows.tensor.count }
        return try rows.tensor.copy()
    }

    func multiply(_ x: Rows, by parts: [CPU.Linear], norm: ModulatedNorm<Rows>?, then: Nonlinearity?) throws(MachineError) -> Rows {
        Rows(tensor: try operate().multiply(x.tensor, by: parts, norm: norm.map(near), then: then))
    }
    func add(_ x: Rows, by linear: CPU.Linear, to residual: inout Rows, gate: Rows?) throws(MachineError) {
        try operate().add(x.tensor, by: linear, to: &residual.tensor, gate: gate?.tensor)
    }
    func gated(_ x: Rows, by layer: GatedConvolution<Self>, norm: ModulatedNorm<Rows>?, grid: Grid?) throws(MachineError) -> Rows {
        Rows(tensor: try operate().gated(x.tensor, by: layer.on(CPU.self) { $0 }, norm: norm.map(near), grid: grid))
    }

    func normed(_ x: Rows, by norm: CPU.Norm) throws(MachineError) -> Rows { Rows(tensor: try operate().normed(x.tensor, by: norm)) }
    func normed(_ x: Rows, by norm: ModulatedNorm<Rows>) throws(MachineError) -> Rows { Rows(tensor: try operate().normed(x.tensor, by: near(norm))) }
    func add(_ x: Rows, normedBy norm: CPU.Norm, to residual: inout Rows) throws(MachineError) {
        try operate().add(x.tensor, normedBy: norm, to: &residual.tensor)
    }
    func sum(_ a: Rows, _ b: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().sum(a.tensor, b.tensor)) }
    func row(_ index: Int, of x: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().row(index, of: x.tensor)) }
    func activated(_ x: Rows, by nonlinearity: Nonlinearity) throws(MachineError) -> Rows {
        Rows(tensor: try operate().activated(x.tensor, by: nonlinearity))
    }

    func linearAttention(
        _ qkv: inout Rows, _ layout: LinearAttention.Layout, queryNorm: CPU.Norm?, keyNorm: CPU.Norm?, scales: [(CPU.Depthwise, CPU.Pointwise)], maps: Int
    ) throws(MachineError) -> Rows {
        Rows(tensor: try operate().linearAttention(&qkv.tensor, layout, queryNorm: queryNorm, keyNorm: keyNorm, scales: scales, maps: maps))
    }
    func keyValues(_ rows: inout Rows, keyNorm: CPU.Norm?, heads: Int, headDimension: Int) throws(MachineError) -> CPU.KeyValues {
        try operate().keyValues(&rows.tensor, keyNorm: keyNorm, heads: heads, headDimension: headDimension)
    }
    func crossAttention(_ queries: inout Rows, queryNorm: CPU.Norm?, to prompts: [CPU.KeyValues]) throws(MachineError) -> Rows {
        Rows(tensor: try operate().crossAttention(&queries.tensor, queryNorm: queryNorm, to: prompts))
    }
    func causalAttention(
        _ qkv: inout Rows, after prefix: Rows?, _ attention: SoftmaxAttention, rotary: Rows
    ) throws(MachineError) -> (attended: Rows, keyValues: Rows) {
        let (attended, keyValues) = try operate().causalAttention(&qkv.tensor, after: prefix?.tensor, attention, rotary: rotary.tensor)
        return (Rows(tensor: attended), Rows(tensor: keyValues))
    }

    func run(_ operations: [RowOperation<Self>], on map: Rows) throws(MachineError) -> Rows {
        Rows(tensor: try operate().run(operations.map { $0.on(CPU.self) }, on: map.tensor))
    }
    func unshuffled(_ map: Rows) throws(MachineError) -> Rows { Rows(tensor: try operate().unshuffled(map.tensor)) }
    func addShortcut(_ x: Rows, to y: inout Rows) throws(MachineError) { operate().addShortcut(x.tensor, to: &y.tensor) }

    private func near(_ norm: ModulatedNorm<Rows>) -> ModulatedNorm<Tensor> {
        ModulatedNorm(scale: norm.scale.tensor, shift: norm.shift.tensor, epsilon: norm.epsilon)
    }
}
