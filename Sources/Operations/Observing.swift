package import Tensors

/// Another executor, of which somebody is told what each linear of a model takes: for calibration.
///
/// Computes what the other one does, but for rows that are normed before they are multiplied: that is then a step of its own.
package struct Observing<Base: Executor>: Executor {
    package typealias Rows = Base.Rows
    package typealias Convolution = Base.Convolution
    package typealias Depthwise = Base.Depthwise
    package typealias Pointwise = Base.Pointwise
    package typealias Norm = Base.Norm
    package typealias KeyValues = Base.KeyValues

    package struct Linear: Sendable {
        fileprivate let base: Base.Linear
        /// Of its weight.
        fileprivate let name: String
    }

    private let base: Base
    private let observe: @Sendable (_ weight: String, _ input: Tensor) -> Void

    /// - Parameter observe: gets the packed name of a weight, and the rows `[.., inputs]` that meet it, in the order in which they are computed.
    package init(_ base: Base, observe: @escaping @Sendable (_ weight: String, _ input: Tensor) -> Void) { (self.base, self.observe) = (base, observe) }

    package static var failure: String? { Base.failure }
    package func stopwatch() -> any Stopwatch { base.stopwatch() }
    package func ownMemory() throws(MachineError) -> (free: Int, total: Int)? { try base.ownMemory() }
    package func byteCount(of values: Int) -> Int { base.byteCount(of: values) }
    package func lingering(_ byteCount: Int) -> Int { base.lingering(byteCount) }
    package func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint { base.footprint(of: weight, as: kind) }
    package func footprint(of work: Work) -> Footprint { base.footprint(of: work) }

    private func tell(_ linear: Linear, _ x: Rows) throws(MachineError) { observe(linear.name, try base.tensor(from: x)) }

    package func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> Linear {
        Linear(base: try base.linear(stored, outputs, bias: bias, compute: compute), name: stored.name)
    }

    // MARK: - What is told

    package func multiply(_ x: Rows, by parts: [Linear], norm: ModulatedNorm<Rows>?, then: Nonlinearity?) throws(MachineError) -> Rows {
        let x = if let norm { try base.normed(x, by: norm) } else { x }
        for part in parts { try tell(part, x) }
        return try base.multiply(x, by: parts.map(\.base), norm: nil, then: then)
    }

    package func add(_ x: Rows, by linear: Linear, to residual: inout Rows, gate: Rows?) throws(MachineError) {
        try tell(linear, x)
        try base.add(x, by: linear.base, to: &residual, gate: gate)
    }

    /// Both halves are of one weight. What the last product takes is told when it is multiplied.
    package func gated(_ x: Rows, by layer: GatedConvolution<Self>, norm: ModulatedNorm<Rows>?, grid: Grid?) throws(MachineError) -> Rows {
        let x = if let norm { try base.normed(x, by: norm) } else { x }
        try tell(layer.value, x)
        return try base.gated(x, by: layer.on(Base.self, \.base), norm: nil, grid: grid)
    }

    // MARK: - What is not

    package func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> Convolution {
        try base.convolution(stored, bias: bias, often: often)
    }
    package func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> Depthwise { try base.depthwise(stored, bias: bias) }
    package func pointwise(_ stored: StoredWeight) throws(MachineError) -> Pointwise { try base.pointwise(stored) }
    package func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> Norm {
        try base.norm(weight: weight, bias: bias, offset: offset, epsilon: epsilon)
    }
    package func rows(from tensor: Tensor) throws(MachineError) -> Rows { try base.rows(from: tensor) }
    package func tensor(from rows: Rows) throws(MachineError) -> Tensor { try base.tensor(from: rows) }
    package func normed(_ x: Rows, by norm: Norm) throws(MachineError) -> Rows { try base.normed(x, by: norm) }
    package func normed(_ x: Rows, by norm: ModulatedNorm<Rows>) throws(MachineError) -> Rows { try base.normed(x, by: norm) }
    package func add(_ x: Rows, normedBy norm: Norm, to residual: inout Rows) throws(MachineError) { try base.add(x, normedBy: norm, to: &residual) }
    package func sum(_ a: Rows, _ b: Rows) throws(MachineError) -> Rows { try base.sum(a, b) }
    package func row(_ index: Int, of x: Rows) throws(MachineError) -> Rows { try base.row(index, of: x) }
    package func activated(_ x: Rows, by nonlinearity: Nonlinearity) throws(MachineError) -> Rows { try base.activated(x, by: nonlinearity) }
    package func linearAttention(
        _ qkv: inout Rows, _ layout: LinearAttention.Layout, queryNorm: Norm?, keyNorm: Norm?, scales: [(Depthwise, Pointwise)], maps: Int
    ) throws(MachineError) -> Rows {
        try base.linearAttention(&qkv, layout, queryNorm: queryNorm, keyNorm: keyNorm, scales: scales, maps: maps)
    }
    package func keyValues(_ rows: inout Rows, keyNorm: Norm?, heads: Int, headDimension: Int) throws(MachineError) -> KeyValues {
        try base.keyValues(&rows, keyNorm: keyNorm, heads: heads, headDimension: headDimension)
    }
    package func crossAttention(_ queries: inout Rows, queryNorm: Norm?, to prompts: [KeyValues]) throws(MachineError) -> Rows {
        try base.crossAttention(&queries, queryNorm: queryNorm, to: prompts)
    }
    package func causalAttention(
        _ qkv: inout Rows, after prefix: Rows?, _ attention: SoftmaxAttention, rotary: Rows
    ) throws(MachineError) -> (attended: Rows, keyValues: Rows) {
        try base.causalAttention(&qkv, after: prefix, attention, rotary: rotary)
    }
    package func run(_ operations: [RowOperation<Self>], on map: Rows) throws(MachineError) -> Rows {
        try base.run(operations.map { $0.on(Base.self) }, on: map)
    }
    package func unshuffled(_ map: Rows) throws(MachineError) -> Rows { try base.unshuffled(map) }
    package func addShortcut(_ x: Rows, to y: inout Rows) throws(MachineError) { try base.addShortcut(x, to: &y) }
}
