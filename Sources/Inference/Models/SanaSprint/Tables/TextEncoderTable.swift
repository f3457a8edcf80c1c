import Tensors

/// The weights of the text encoder, in the order in which a file has them.
struct TextEncoderRows: Sendable {
    let embedding: WeightRow
    let layers: [Layer]
    let norm: Parameters
    let rows: [WeightRow]

    init(_ c: TextEncoderConfiguration, _ fusions: Fusions) {
        var table = TableBuilder()
        embedding = table.add("text.embed.weight", "embed_tokens.weight", [c.vocabulary, c.width], role: .embedding)
        layers = (0..<c.layers).map { Layer($0, c, fusions, &table) }
        norm = table.norm("text.norm", "norm", c.width)
        rows = table.rows
    }

    /// The weights of one decoder layer.
    struct Layer: Sendable {
        let attentionNorm: Parameters
        let projections: [Parameters]
        let attentionOutput: Parameters
        let attentionPostNorm: Parameters
        let feedForwardNorm: Parameters
        let gateUp: [Parameters]
        let down: Parameters
        let feedForwardPostNorm: Parameters

        init(_ index: Int, _ c: TextEncoderConfiguration, _ fusions: Fusions, _ table: inout TableBuilder) {
            let (name, source) = (SanaSprintWeights.textLayer(index), "layers.\(index).")
            let fuses = fusions.contains(.queryKeyValue)
            attentionNorm = table.norm(name + "self.pre_norm", source + "input_layernorm", c.width)
            projections = table.linears(
                name + "self.", fused: fuses ? "qkv" : nil,
                [
                    .init(name: "q", source: source + "self_attn.q_proj", outputs: c.queryWidth),
                    .init(name: "k", source: source + "self_attn.k_proj", outputs: c.keyValueWidth),
                    .init(name: "v", source: source + "self_attn.v_proj", outputs: c.keyValueWidth),
                ], inputs: c.width, role: .textLinear, bias: c.attentionBias)
            attentionOutput = table.linear(
                name + "self.out", source + "self_attn.o_proj", c.width, c.queryWidth, role: .textLinear, bias: c.attentionBias)
            attentionPostNorm = table.norm(name + "self.post_norm", source + "post_attention_layernorm", c.width)
            feedForwardNorm = table.norm(name + "mlp.pre_norm", source + "pre_feedforward_layernorm", c.width)
            gateUp = table.linears(
                name + "mlp.", fused: fuses ? "gate_up" : nil,
                [
                    .init(name: "gate", source: source + "mlp.gate_proj", outputs: c.hidden),
                    .init(name: "up", source: source + "mlp.up_proj", outputs: c.hidden),
                ], inputs: c.width, role: .textLinear, bias: false)
            down = table.linear(name + "mlp.down", source + "mlp.down_proj", c.width, c.hidden, role: .textLinear, bias: false)
            feedForwardPostNorm = table.norm(name + "mlp.post_norm", source + "post_feedforward_layernorm", c.width)
        }
    }
}
