import Operations
import Tensors

/// One block of the SANA transformer: linear self-attention, cross-attention to the prompt, mix-FFN.
///
/// Source: SanaTransformerBlock in diffusers' sana_transformer.py.
struct TransformerBlock: Sendable {
    private let executor: CPU
    private let configuration: TransformerConfiguration
    private let table: Tensor
    private let selfProjections: LinearGroup
    /// Nil in models without query and key norms; `selfQueryNorm` also where it is folded into the projection.
    private let selfQueryNorm: RMSNorm?
    private let selfKeyNorm: RMSNorm?
    private let selfOutput: Linear
    private let crossQuery: Linear
    private let crossQueryNorm: RMSNorm?
    private let crossOutput: Linear
    private let feedForward: GatedConvolution

    /// Epsilon of the norms over q and k: the default of diffusers' `Attention`, which no configuration sets.
    fileprivate static let queryKeyEpsilon = 1e-5

    init(_ loader: WeightLoader, _ index: Int, _ c: TransformerConfiguration) throws(WeightError) {
        let name = "dit.blocks.\(SanaSprintWeights.number(index))."
        let (width, crossWidth, fusions) = (c.width, c.crossWidth, loader.source.fusions)
        func norm(_ suffix: String, _ channels: Int, unless folded: Bool = false) throws(WeightError) -> RMSNorm? {
            c.queryKeyNorm && !folded ? try loader.norm(name + suffix, channels, epsilon: Self.queryKeyEpsilon) : nil
        }
        executor = loader.executor
        configuration = c
        table = try loader.tensor(name + "table", [6, width])
        selfProjections = try loader.group(
            name + "self.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil, [("q", width), ("k", width), ("v", width)], inputs: width,
            bias: c.attentionBias)
        // A folded norm leaves out the division by the token's RMS: it multiplies numerator and denominator of the attention alike.
        selfQueryNorm = try norm("self.q_norm", width, unless: fusions.contains(.queryNorm))
        selfKeyNorm = try norm("self.k_norm", width)
        selfOutput = try loader.linear(name + "self.out", width, width, bias: true)
        crossQuery = try loader.linear(name + "cross.q", crossWidth, width, bias: true)
        crossQueryNorm = try norm("cross.q_norm", crossWidth)
        crossOutput = try loader.linear(name + "cross.out", width, crossWidth, bias: true)
        feedForward = try loader.gatedConvolution(name + "ff.", channels: width, hidden: c.hidden, norm: false)
    }

    /// Runs the block on `x` [maps * height * width, channels] in place: one map of tokens below the other, for each of `keyValues` one.
    func apply(_ x: inout Tensor, modulation: Tensor, keyValues: [PackedKeyValues], height: Int, width: Int) throws(AllocationError) {
        precondition(x.rows == keyValues.count * height * width)
        // Rows: shift, scale and gate of self-attention, then of the FFN.
        let rows = try executor.sum(table, modulation)
        let epsilon = configuration.normEpsilon

        var projected = try selfProjections(x, norm: ModulatedNorm(scale: try rows.row(1), shift: try rows.row(0), epsilon: epsilon))
        try selfOutput.add(try selfAttention(&projected, maps: keyValues.count), to: &x, gate: try rows.row(2))

        try crossOutput.add(try crossAttention(x, keyValues), to: &x)

        try feedForward.update(
            &x, norm: ModulatedNorm(scale: try rows.row(4), shift: try rows.row(3), epsilon: epsilon), factor: try rows.row(5), maps: keyValues.count,
            height: height, width: width)
    }

    /// Attention over the tokens of each map of `projected` [tokens, 3 * width], which it norms in place, before the output projection.
    private func selfAttention(_ projected: inout Tensor, maps: Int) throws(AllocationError) -> Tensor {
        selfQueryNorm?.apply(&projected, column: 0)
        selfKeyNorm?.apply(&projected, column: configuration.width)
        var attended = try Tensor([projected.rows, configuration.width], zeroed: false)
        let layout = LinearAttention.Layout.blocks(heads: configuration.heads, headDimension: configuration.headDimension)
        executor.linearAttention(projected, layout, into: &attended, maps: maps)
        return attended
    }

    /// Attention of each map to its prompt, before the output projection.
    private func crossAttention(_ x: Tensor, _ keyValues: [PackedKeyValues]) throws(AllocationError) -> Tensor {
        var queries = try crossQuery(x)
        crossQueryNorm?.apply(&queries, column: 0)
        return try PackedKeyValues.attend(queries, to: keyValues)
    }
}

/// Keys and values of the prompt in one block: they depend on the prompt alone and serve every step, so that their weights are not kept.
struct PromptProjection: Sendable {
    private let projections: LinearGroup
    private let keyNorm: RMSNorm?
    private let executor: CPU
    private let heads: Int
    private let headDimension: Int

    init(_ loader: WeightLoader, _ index: Int, _ c: TransformerConfiguration) throws(WeightError) {
        let name = "dit.blocks.\(SanaSprintWeights.number(index)).cross."
        projections = try loader.group(
            name, fused: loader.source.fusions.contains(.crossKeyValue) ? "kv" : nil, [("k", c.crossWidth), ("v", c.crossWidth)], inputs: c.width,
            bias: true)
        keyNorm = c.queryKeyNorm ? try loader.norm(name + "k_norm", c.crossWidth, epsilon: TransformerBlock.queryKeyEpsilon) : nil
        executor = loader.executor
        (heads, headDimension) = (c.crossHeads, c.crossHeadDimension)
    }

    /// - Parameter caption: `[tokens, width]`.
    func callAsFunction(_ caption: Tensor) throws(AllocationError) -> PackedKeyValues {
        var result = try projections(caption)
        keyNorm?.apply(&result, column: 0)
        return try PackedKeyValues(result, heads: heads, headDimension: headDimension, on: executor)
    }
}
