import Tensors

extension SanaSprintWeights {
    static func textEncoder(_ c: TextEncoderConfiguration, _ fusions: Fusions) -> [WeightRow] {
        var table = TableBuilder()
        table.add("text.embed.weight", "embed_tokens.weight", [c.vocabulary, c.width], role: .embedding)
        for index in 0..<c.layers {
            let (name, source) = (textLayer(index), "layers.\(index).")
            table.norm(name + "self.pre_norm", source + "input_layernorm", c.width)
            table.linears(
                name + "self.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil,
                [
                    .init(name: "q", source: source + "self_attn.q_proj", outputs: c.queryWidth),
                    .init(name: "k", source: source + "self_attn.k_proj", outputs: c.keyValueWidth),
                    .init(name: "v", source: source + "self_attn.v_proj", outputs: c.keyValueWidth),
                ], inputs: c.width, role: .textLinear, bias: c.attentionBias)
            table.linear(name + "self.out", source + "self_attn.o_proj", c.width, c.queryWidth, role: .textLinear, bias: c.attentionBias)
            table.norm(name + "self.post_norm", source + "post_attention_layernorm", c.width)
            table.norm(name + "mlp.pre_norm", source + "pre_feedforward_layernorm", c.width)
            table.linears(
                name + "mlp.", fused: fusions.contains(.queryKeyValue) ? "gate_up" : nil,
                [
                    .init(name: "gate", source: source + "mlp.gate_proj", outputs: c.hidden),
                    .init(name: "up", source: source + "mlp.up_proj", outputs: c.hidden),
                ], inputs: c.width, role: .textLinear, bias: false)
            table.linear(name + "mlp.down", source + "mlp.down_proj", c.width, c.hidden, role: .textLinear, bias: false)
            table.norm(name + "mlp.post_norm", source + "post_feedforward_layernorm", c.width)
        }
        table.norm("text.norm", "norm", c.width)
        return table.rows
    }
}
