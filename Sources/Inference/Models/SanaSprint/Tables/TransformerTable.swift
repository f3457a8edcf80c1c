import Tensors

extension SanaSprintWeights {
    /// Channels of the sinusoids of time and guidance; fixed in diffusers' SanaCombinedTimestepGuidanceEmbeddings.
    static let sinusoidChannels = 256

    static func transformer(_ c: TransformerConfiguration, _ fusions: Fusions, _ frozen: FrozenSchedule?) -> [WeightRow] {
        var table = TableBuilder()
        let width = c.width
        table.linear("dit.patch", "patch_embed.proj", width, c.channels, role: .sensitiveLinear, bias: true, kernel: c.patch)
        if let frozen { tables(of: frozen, width, &table) } else { timeEmbedding(width, &table) }
        table.linear("dit.caption.in", "caption_projection.linear_1", width, c.captionChannels, role: .sensitiveLinear, bias: true)
        table.linear("dit.caption.out", "caption_projection.linear_2", width, width, role: .sensitiveLinear, bias: true)
        table.norm("dit.caption.norm", "caption_norm", width)
        for index in 0..<c.layers { block(index, c, fusions, &table) }
        table.add("dit.out.table", "scale_shift_table", [2, width], role: .table)
        table.linear("dit.out", "proj_out", c.patchChannels, width, role: .sensitiveLinear, bias: true)
        return table.rows
    }

    private static func timeEmbedding(_ width: Int, _ table: inout TableBuilder) {
        for (name, source) in [("time", "timestep"), ("guidance", "guidance")] {
            table.linear("dit.\(name).in", "time_embed.\(source)_embedder.linear_1", width, sinusoidChannels, role: .sensitiveLinear, bias: true)
            table.linear("dit.\(name).out", "time_embed.\(source)_embedder.linear_2", width, width, role: .sensitiveLinear, bias: true)
        }
        table.linear("dit.modulation", "time_embed.linear", 6 * width, width, role: .sensitiveLinear, bias: true)
    }

    private static func tables(of schedule: FrozenSchedule, _ width: Int, _ table: inout TableBuilder) {
        let embedders = ["timestep", "guidance"].flatMap { source in
            [
                (name: "time_embed.\(source)_embedder.linear_1", outputs: width, inputs: sinusoidChannels),
                (name: "time_embed.\(source)_embedder.linear_2", outputs: width, inputs: width),
            ]
        }
        table.computed(ScheduleTables.embeddingName, [schedule.rows.count, width], by: .scheduleEmbedding, from: embedders)
        table.computed(
            ScheduleTables.modulationName, [schedule.rows.count, 6, width], by: .scheduleModulation, from: [("time_embed.linear", 6 * width, width)])
    }

    private static func block(_ index: Int, _ c: TransformerConfiguration, _ fusions: Fusions, _ table: inout TableBuilder) {
        let (name, source) = ("dit.blocks.\(number(index)).", "transformer_blocks.\(index).")
        let (width, crossWidth) = (c.width, c.crossWidth)
        table.add(name + "table", source + "scale_shift_table", [6, width], role: .table)

        let folds = c.queryKeyNorm && fusions.contains(.queryNorm)
        table.linears(
            name + "self.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil,
            [
                .init(
                    name: "q", source: source + "attn1.to_q", outputs: width,
                    transforms: folds ? [.scale(by: .init(source + "attn1.norm_q.weight", [width]))] : []),
                .init(name: "k", source: source + "attn1.to_k", outputs: width),
                .init(name: "v", source: source + "attn1.to_v", outputs: width),
            ], inputs: width, role: .linear, bias: c.attentionBias)
        if c.queryKeyNorm {
            if !folds { table.norm(name + "self.q_norm", source + "attn1.norm_q", width) }
            table.norm(name + "self.k_norm", source + "attn1.norm_k", width)
        }
        table.linear(name + "self.out", source + "attn1.to_out.0", width, width, role: .linear, bias: true)

        table.linear(name + "cross.q", source + "attn2.to_q", crossWidth, width, role: .linear, bias: true)
        table.linears(
            name + "cross.", fused: fusions.contains(.crossKeyValue) ? "kv" : nil,
            [
                .init(name: "k", source: source + "attn2.to_k", outputs: crossWidth),
                .init(name: "v", source: source + "attn2.to_v", outputs: crossWidth),
            ], inputs: width, role: .sensitiveLinear, bias: true)
        if c.queryKeyNorm {
            table.norm(name + "cross.q_norm", source + "attn2.norm_q", crossWidth)
            table.norm(name + "cross.k_norm", source + "attn2.norm_k", crossWidth)
        }
        table.linear(name + "cross.out", source + "attn2.to_out.0", width, crossWidth, role: .linear, bias: true)

        table.linear(name + "ff.in", source + "ff.conv_inverted", 2 * c.hidden, width, role: .linear, bias: true, kernel: 1)
        table.depthwise(name + "ff.depth", source + "ff.conv_depth", 2 * c.hidden, kernel: 3, bias: true)
        table.linear(name + "ff.out", source + "ff.conv_point", width, c.hidden, role: .gatedLinear, bias: false, kernel: 1)
    }
}
