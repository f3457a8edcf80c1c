import Operations
import Tensors

/// One decoder layer of Gemma-2: all tokens of a prompt at once, or those behind a prefix whose keys and values are known.
///
/// Source: Gemma2DecoderLayer in transformers' modeling_gemma2.py, with eager attention, the only kind that applies the soft cap.
struct Gemma2Layer: Sendable {
    private let executor: CPU
    private let configuration: TextEncoderConfiguration
    private let window: Int?
    private let attentionNorm: RMSNorm
    private let projections: LinearGroup
    private let attentionOutput: Linear
    private let attentionPostNorm: RMSNorm
    private let feedForwardNorm: RMSNorm
    private let gateUp: LinearGroup
    private let down: Linear
    private let feedForwardPostNorm: RMSNorm

    init(_ loader: WeightLoader, _ rows: TextEncoderRows.Layer, window: Int?, _ c: TextEncoderConfiguration) throws(WeightError) {
        func norm(_ rows: Parameters) throws(WeightError) -> RMSNorm { try loader.norm(rows, offset: 1, epsilon: c.normEpsilon) }
        executor = loader.executor
        configuration = c
        self.window = window
        attentionNorm = try norm(rows.attentionNorm)
        projections = try loader.group(rows.projections)
        attentionOutput = try loader.linear(rows.attentionOutput)
        attentionPostNorm = try norm(rows.attentionPostNorm)
        feedForwardNorm = try norm(rows.feedForwardNorm)
        gateUp = try loader.group(rows.gateUp)
        down = try loader.linear(rows.down)
        feedForwardPostNorm = try norm(rows.feedForwardPostNorm)
    }

    /// Runs the layer on `x` [tokens, width] in place.
    ///
    /// - Parameters:
    ///   - rotary: of the positions that the tokens have.
    ///   - prefix: keys and values of the tokens before, `[prefix tokens, 2 * keyValueWidth]`, the keys turned to their positions.
    /// - Returns: keys and values of prefix and tokens, of the same form.
    @discardableResult
    func apply(_ x: inout Tensor, rotary: Rotary, prefix: Tensor? = nil) throws(AllocationError) -> Tensor {
        let (attended, keyValues) = try attention(try attentionNorm(x), rotary, prefix)
        executor.add(try attentionPostNorm(attended), to: &x)
        let gated = try executor.geluGated(try gateUp(try feedForwardNorm(x)))
        executor.add(try feedForwardPostNorm(try down(gated)), to: &x)
        return keyValues
    }

    private func attention(_ x: Tensor, _ rotary: Rotary, _ prefix: Tensor?) throws(AllocationError) -> (Tensor, keyValues: Tensor) {
        let c = configuration
        var projected = try projections(x)
        rotary.apply(&projected, column: 0, heads: c.heads)
        rotary.apply(&projected, column: c.queryWidth, heads: c.keyValueHeads)
        let attention = SoftmaxAttention(
            heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.headDimension, scale: c.attentionScale, softCap: c.softCap, window: window,
            on: executor)
        let own = try projected.columns(c.queryWidth..<c.queryWidth + 2 * c.keyValueWidth)
        let keyValues = if let prefix { try Tensor(stacking: [prefix, own]) } else { own }
        let attended = try attention(
            .init(matrix: projected, column: 0), .init(matrix: keyValues, column: 0), .init(matrix: keyValues, column: c.keyValueWidth),
            firstRow: prefix?.rows ?? 0)
        return (try attentionOutput(attended), keyValues)
    }
}
