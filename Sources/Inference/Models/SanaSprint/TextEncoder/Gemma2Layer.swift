import Operations
import Tensors

/// One decoder layer of Gemma-2: all tokens of a prompt at once, or those behind a prefix whose keys and values are known.
///
/// Source: Gemma2DecoderLayer in transformers' modeling_gemma2.py, with eager attention, the only kind that applies the soft cap.
struct Gemma2Layer<E: Executor>: Sendable {
    private let executor: E
    private let attention: SoftmaxAttention
    private let attentionNorm: E.Norm
    private let projections: [E.Linear]
    private let attentionOutput: E.Linear
    private let attentionPostNorm: E.Norm
    private let feedForwardNorm: E.Norm
    private let gateUp: [E.Linear]
    private let down: E.Linear
    private let feedForwardPostNorm: E.Norm

    init(_ loader: WeightLoader<E>, _ rows: TextEncoderRows.Layer, window: Int?, _ c: TextEncoderConfiguration) throws(InferenceError) {
        func norm(_ rows: Parameters) throws(InferenceError) -> E.Norm { try loader.norm(rows, offset: 1, epsilon: c.normEpsilon) }
        executor = loader.executor
        attention = SoftmaxAttention(
            heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.headDimension, scale: c.attentionScale, softCap: c.softCap, window: window)
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
    ///   - rotary: the table of `Rotary` for the positions that the tokens have.
    ///   - prefix: keys and values of the tokens before, `[prefix tokens, 2 * keyValueWidth]`, the keys turned to their positions.
    /// - Returns: keys and values of prefix and tokens, of the same form.
    @discardableResult
    func apply(_ x: inout E.Rows, rotary: E.Rows, prefix: E.Rows? = nil) throws(MachineError) -> E.Rows {
        let (attended, keyValues) = try attended(x, rotary, prefix)
        try executor.add(try executor.multiply(attended, by: attentionOutput), normedBy: attentionPostNorm, to: &x)
        let gated = try executor.multiply(try executor.normed(x, by: feedForwardNorm), by: gateUp, norm: nil, then: .geluGate)
        try executor.add(try executor.multiply(gated, by: down), normedBy: feedForwardPostNorm, to: &x)
        return keyValues
    }

    /// What `apply` takes beside x for so many tokens behind a prefix: what is normed and multiplied, attention, and the two halves of the layer, with
    /// keys, values and attention until the end.
    static func workingBytes(_ rows: TextEncoderRows.Layer, _ sizes: WeightSizes<E>, tokens: Int, prefix: Int, _ c: TextEncoderConfiguration) -> Int {
        let stream = sizes.executor.byteCount(of: tokens * c.width)
        let projected = sizes.product(tokens, rows.projections)
        let attended = sizes.executor.footprint(
            of: .causalAttention(
                rows: tokens, prefix: prefix, SoftmaxAttention(heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.headDimension, scale: 1)))
        let (output, gated, down) = (
            sizes.product(tokens, [rows.attentionOutput]), sizes.product(tokens, rows.gateUp, gated: true), sizes.product(tokens, [rows.down])
        )
        return max(
            stream + projected.peak, projected.kept + attended.peak,
            attended.kept + max(output.peak, output.kept + stream, stream + gated.peak, gated.kept + max(down.peak, down.kept + stream)))
    }

    private func attended(_ x: E.Rows, _ rotary: E.Rows, _ prefix: E.Rows?) throws(MachineError) -> (E.Rows, keyValues: E.Rows) {
        var projected = try executor.multiply(try executor.normed(x, by: attentionNorm), by: projections, norm: nil, then: nil)
        return try executor.causalAttention(&projected, after: prefix, attention, rotary: rotary)
    }
}
