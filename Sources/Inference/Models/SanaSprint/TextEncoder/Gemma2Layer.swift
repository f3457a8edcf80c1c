import Tensors

/// One decoder layer of Gemma-2, without a cache: all tokens of a prompt at once.
///
/// Source: Gemma2DecoderLayer in transformers' modeling_gemma2.py, with eager attention, the only kind that applies the soft cap.
struct Gemma2Layer: Sendable {
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

    init(_ loader: WeightLoader, _ index: Int, _ c: TextEncoderConfiguration) throws(WeightError) {
        let name = "text.layers.\(SanaSprintWeights.number(index))."
        let fused = loader.source.fusions.contains(.queryKeyValue)
        func norm(_ suffix: String) throws(WeightError) -> RMSNorm { try loader.norm(name + suffix, c.width, offset: 1, epsilon: c.normEpsilon) }
        configuration = c
        window = c.windows[index]
        attentionNorm = try norm("self.pre_norm")
        projections = try loader.group(
            name + "self.", fused: fused ? "qkv" : nil, [("q", c.queryWidth), ("k", c.keyValueWidth), ("v", c.keyValueWidth)], inputs: c.width,
            bias: c.attentionBias)
        attentionOutput = try loader.linear(name + "self.out", c.width, c.queryWidth, bias: c.attentionBias)
        attentionPostNorm = try norm("self.post_norm")
        feedForwardNorm = try norm("mlp.pre_norm")
        gateUp = try loader.group(name + "mlp.", fused: fused ? "gate_up" : nil, [("gate", c.hidden), ("up", c.hidden)], inputs: c.width, bias: false)
        down = try loader.linear(name + "mlp.down", c.width, c.hidden, bias: false)
        feedForwardPostNorm = try norm("mlp.post_norm")
    }

    /// Runs the layer on `x` [tokens, width] in place.
    func apply(_ x: inout Tensor, rotary: Rotary) throws(AllocationError) {
        x.add(try attentionPostNorm(try attention(try attentionNorm(x), rotary)))
        let gated = try GatedUnit.gelu(try gateUp(try feedForwardNorm(x)))
        x.add(try feedForwardPostNorm(try down(gated)))
    }

    private func attention(_ x: Tensor, _ rotary: Rotary) throws(AllocationError) -> Tensor {
        let c = configuration
        var projected = try projections(x)
        rotary.apply(&projected, column: 0, heads: c.heads)
        rotary.apply(&projected, column: c.queryWidth, heads: c.keyValueHeads)
        let attention = SoftmaxAttention(
            heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.headDimension, scale: c.attentionScale, softCap: c.softCap, causal: true,
            window: window)
        return try attentionOutput(
            try attention(
                .init(matrix: projected, column: 0), .init(matrix: projected, column: c.queryWidth),
                .init(matrix: projected, column: c.queryWidth + c.keyValueWidth)))
    }
}
