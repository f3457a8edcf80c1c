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

    init(_ loader: WeightLoader, _ rows: TransformerRows.Block, _ c: TransformerConfiguration) throws(WeightError) {
        executor = loader.executor
        configuration = c
        table = try loader.tensor(rows.table)
        selfProjections = try loader.group(rows.selfProjections)
        // A folded norm leaves out the division by the token's RMS: it multiplies numerator and denominator of the attention alike.
        selfQueryNorm = try loader.queryKeyNorm(rows.selfQueryNorm)
        selfKeyNorm = try loader.queryKeyNorm(rows.selfKeyNorm)
        selfOutput = try loader.linear(rows.selfOutput)
        crossQuery = try loader.linear(rows.crossQuery)
        crossQueryNorm = try loader.queryKeyNorm(rows.crossQueryNorm)
        crossOutput = try loader.linear(rows.crossOutput)
        feedForward = try loader.gatedConvolution(rows.feedForward)
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

    init(_ loader: WeightLoader, _ rows: TransformerRows.Block, _ c: TransformerConfiguration) throws(WeightError) {
        projections = try loader.group(rows.crossKeyValues)
        keyNorm = try loader.queryKeyNorm(rows.crossKeyNorm)
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

extension WeightLoader {
    /// A norm over q or k, with the epsilon that is the default of diffusers' `Attention` and that no configuration sets.
    fileprivate func queryKeyNorm(_ rows: Parameters?) throws(WeightError) -> RMSNorm? {
        try rows.map { (rows) throws(WeightError) in try norm(rows, epsilon: 1e-5) }
    }
}
