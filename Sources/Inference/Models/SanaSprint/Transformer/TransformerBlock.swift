import Operations
import Tensors

/// One block of the SANA transformer: linear self-attention, cross-attention to the prompt, mix-FFN.
///
/// Source: SanaTransformerBlock in diffusers' sana_transformer.py.
struct TransformerBlock<E: Executor>: Sendable {
    private let executor: E
    private let configuration: TransformerConfiguration
    private let table: E.Rows
    private let selfProjections: [E.Linear]
    /// Nil in models without query and key norms; `selfQueryNorm` also where it is folded into the projection.
    private let selfQueryNorm: E.Norm?
    private let selfKeyNorm: E.Norm?
    private let selfOutput: E.Linear
    private let crossQuery: E.Linear
    private let crossQueryNorm: E.Norm?
    private let crossOutput: E.Linear
    private let feedForward: GatedConvolution<E>

    init(_ loader: WeightLoader<E>, _ rows: TransformerRows.Block, _ c: TransformerConfiguration) throws(InferenceError) {
        executor = loader.executor
        configuration = c
        table = try loader.rows(rows.table)
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
    /// - Parameter modulation: `[6, width]`, in any shape.
    func apply(_ x: inout E.Rows, modulation: E.Rows, keyValues: [E.KeyValues], height: Int, width: Int) throws(MachineError) {
        // Rows: shift, scale and gate of self-attention, then of the FFN.
        let rows = try executor.sum(table, modulation)
        func norm(_ row: Int) throws(MachineError) -> ModulatedNorm<E.Rows> {
            ModulatedNorm(scale: try executor.row(row + 1, of: rows), shift: try executor.row(row, of: rows), epsilon: configuration.normEpsilon)
        }

        try executor.add(try selfAttention(x, try norm(0), maps: keyValues.count), by: selfOutput, to: &x, gate: try executor.row(2, of: rows))
        try executor.add(try crossAttention(x, keyValues), by: crossOutput, to: &x, gate: nil)
        try executor.update(
            &x, by: feedForward, norm: try norm(3), gate: try executor.row(5, of: rows), grid: Grid(maps: keyValues.count, height: height, width: width))
    }

    /// What `apply` takes beside x for so many rows that attend to so many tokens: q, k and v, and the attention that is made of them; that and the
    /// output that is added; the same of the prompt; the feed-forward. Beside each the sums of table and modulation, and rows of them.
    static func workingBytes(_ rows: TransformerRows.Block, _ sizes: WeightSizes<E>, count: Int, tokens: Int, _ c: TransformerConfiguration) -> Int {
        let projected = sizes.product(count, rows.selfProjections, normed: true)
        let attended = sizes.executor.footprint(of: .linearAttention(rows: count, width: c.width, headDimension: c.headDimension))
        let queries = sizes.product(count, [rows.crossQuery])
        let crossed = sizes.executor.footprint(
            of: .crossAttention(rows: count, tokens: tokens, heads: c.crossHeads, headDimension: c.crossHeadDimension))
        return 10 * sizes.executor.byteCount(of: c.width)
            + max(
                projected.peak, projected.kept + attended.peak, attended.kept + sizes.added(count, rows.selfOutput).peak,
                queries.peak, queries.kept + crossed.peak, crossed.kept + sizes.added(count, rows.crossOutput).peak,
                sizes.updatingBytes(count, rows.feedForward, normed: true))
    }

    /// Attention over the tokens of each map of the normed `x`, before the output projection.
    private func selfAttention(_ x: E.Rows, _ norm: ModulatedNorm<E.Rows>, maps: Int) throws(MachineError) -> E.Rows {
        var projected = try executor.multiply(x, by: selfProjections, norm: norm, then: nil)
        let layout = LinearAttention.Layout.blocks(heads: configuration.heads, headDimension: configuration.headDimension)
        return try executor.linearAttention(&projected, layout, queryNorm: selfQueryNorm, keyNorm: selfKeyNorm, scales: [], maps: maps)
    }

    /// Attention of each map to its prompt, before the output projection.
    private func crossAttention(_ x: E.Rows, _ keyValues: [E.KeyValues]) throws(MachineError) -> E.Rows {
        var queries = try executor.multiply(x, by: crossQuery)
        return try executor.crossAttention(&queries, queryNorm: crossQueryNorm, to: keyValues)
    }
}

/// Keys and values of the prompt in one block: they depend on the prompt alone and serve every step, so that their weights are not kept.
struct PromptProjection<E: Executor>: Sendable {
    private let projections: [E.Linear]
    private let keyNorm: E.Norm?
    private let executor: E
    private let heads: Int
    private let headDimension: Int

    init(_ loader: WeightLoader<E>, _ rows: TransformerRows.Block, _ c: TransformerConfiguration) throws(InferenceError) {
        projections = try loader.group(rows.crossKeyValues)
        keyNorm = try loader.queryKeyNorm(rows.crossKeyNorm)
        executor = loader.executor
        (heads, headDimension) = (c.crossHeads, c.crossHeadDimension)
    }

    /// Keys and values of so many tokens.
    static func footprint(_ rows: TransformerRows.Block, _ sizes: WeightSizes<E>, tokens: Int, _ c: TransformerConfiguration) -> Footprint {
        let made = sizes.executor.footprint(of: .keyValues(tokens: tokens, heads: c.crossHeads, headDimension: c.crossHeadDimension))
        let projected = sizes.product(tokens, rows.crossKeyValues)
        return Footprint(kept: made.kept, passing: max(projected.peak - made.kept, projected.kept + made.passing))
    }

    /// - Parameter caption: `[tokens, width]`.
    func callAsFunction(_ caption: E.Rows) throws(MachineError) -> E.KeyValues {
        var result = try executor.multiply(caption, by: projections, norm: nil, then: nil)
        return try executor.keyValues(&result, keyNorm: keyNorm, heads: heads, headDimension: headDimension)
    }
}

extension WeightLoader {
    /// A norm over q or k, with the epsilon that is the default of diffusers' `Attention` and that no configuration sets.
    fileprivate func queryKeyNorm(_ rows: Parameters?) throws(InferenceError) -> E.Norm? {
        try rows.map { (rows) throws(InferenceError) in try norm(rows, epsilon: 1e-5) }
    }
}
