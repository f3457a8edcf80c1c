import Tensors

/// The weights of the transformer, in the order in which a file has them.
struct TransformerRows: Sendable {
    let patch: Parameters
    let conditioning: ConditioningRows
    let blocks: [Block]
    let outputTable: WeightRow
    let output: Parameters
    let rows: [WeightRow]

    init(_ c: TransformerConfiguration, _ fusions: Fusions, _ frozen: FrozenSchedule?) {
        var table = TableBuilder()
        let width = c.width
        patch = table.linear("dit.patch", "patch_embed.proj", width, c.channels, role: .sensitiveLinear, bias: true, kernel: c.patch)
        conditioning = ConditioningRows(c, frozen, embedsGuidance: c.embedsGuidance, &table)
        blocks = (0..<c.layers).map { Block(SanaSprintWeights.block($0), $0, c, fusions, &table) }
        outputTable = table.add("dit.out.table", "scale_shift_table", [2, width], role: .table)
        output = table.linear("dit.out", "proj_out", c.patchChannels, width, role: .sensitiveLinear, bias: true)
        rows = table.rows
    }

    /// The weights of one block.
    struct Block: Sendable {
        let table: WeightRow
        let selfProjections: [Parameters]
        /// Nil in models without query and key norms; `selfQueryNorm` also where it is folded into the projection.
        let selfQueryNorm: Parameters?
        let selfKeyNorm: Parameters?
        let selfOutput: Parameters
        let crossQuery: Parameters
        let crossKeyValues: [Parameters]
        let crossQueryNorm: Parameters?
        let crossKeyNorm: Parameters?
        let crossOutput: Parameters
        let feedForward: GatedConvolutionRows

        /// - Parameter name: what the packed names begin with, without the dot.
        init(_ name: String, _ index: Int, _ c: TransformerConfiguration, _ fusions: Fusions, _ rows: inout TableBuilder) {
            let (name, source) = (name + ".", "transformer_blocks.\(index).")
            let (width, crossWidth) = (c.width, c.crossWidth)
            table = rows.add(name + "table", source + "scale_shift_table", [6, width], role: .table)

            let folds = c.queryKeyNorm && fusions.contains(.queryNorm)
            selfProjections = rows.linears(
                name + "self.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil,
                [
                    .init(
                        name: "q", source: source + "attn1.to_q", outputs: width,
                        transforms: folds ? [.scale(by: .init(source + "attn1.norm_q.weight", [width]))] : []),
                    .init(name: "k", source: source + "attn1.to_k", outputs: width),
                    .init(name: "v", source: source + "attn1.to_v", outputs: width),
                ], inputs: width, role: .linear, bias: c.attentionBias)
            selfQueryNorm = c.queryKeyNorm && !folds ? rows.norm(name + "self.q_norm", source + "attn1.norm_q", width) : nil
            selfKeyNorm = c.queryKeyNorm ? rows.norm(name + "self.k_norm", source + "attn1.norm_k", width) : nil
            selfOutput = rows.linear(name + "self.out", source + "attn1.to_out.0", width, width, role: .linear, bias: true)

            crossQuery = rows.linear(name + "cross.q", source + "attn2.to_q", crossWidth, width, role: .linear, bias: true)
            crossKeyValues = rows.linears(
                name + "cross.", fused: fusions.contains(.crossKeyValue) ? "kv" : nil,
                [
                    .init(name: "k", source: source + "attn2.to_k", outputs: crossWidth),
                    .init(name: "v", source: source + "attn2.to_v", outputs: crossWidth),
                ], inputs: width, role: .sensitiveLinear, bias: true)
            crossQueryNorm = c.queryKeyNorm ? rows.norm(name + "cross.q_norm", source + "attn2.norm_q", crossWidth) : nil
            crossKeyNorm = c.queryKeyNorm ? rows.norm(name + "cross.k_norm", source + "attn2.norm_k", crossWidth) : nil
            crossOutput = rows.linear(name + "cross.out", source + "attn2.to_out.0", width, crossWidth, role: .linear, bias: true)

            feedForward = GatedConvolutionRows(
                input: rows.linear(name + "ff.in", source + "ff.conv_inverted", 2 * c.hidden, width, role: .linear, bias: true, kernel: 1),
                depthwise: rows.depthwise(name + "ff.depth", source + "ff.conv_depth", 2 * c.hidden, kernel: 3, bias: true),
                output: rows.linear(name + "ff.out", source + "ff.conv_point", width, c.hidden, role: .gatedLinear, bias: false, kernel: 1))
        }
    }
}

/// The weights of the small networks around the blocks, in the order in which a file has them.
struct ConditioningRows: Sendable {
    let timing: Timing
    let captionIn: Parameters
    let captionOut: Parameters
    let captionNorm: Parameters

    /// The networks of time and guidance, or a frozen schedule's tables in their place.
    enum Timing: Sendable {
        case networks(TimeEmbeddingRows)
        case tables(embedding: WeightRow, modulation: WeightRow, FrozenSchedule)
    }

    /// - Parameters:
    ///   - prefix: of the packed names.
    ///   - embedsGuidance: whether there is a network of the guidance.
    init(_ c: TransformerConfiguration, _ frozen: FrozenSchedule?, prefix: String = "dit", embedsGuidance: Bool = true, _ table: inout TableBuilder) {
        let width = c.width
        timing =
            if let frozen { TimeEmbeddingRows.tables(of: frozen, width, &table) } else {
                .networks(TimeEmbeddingRows(width, prefix: prefix, embedsGuidance: embedsGuidance, &table))
            }
        captionIn = table.linear("\(prefix).caption.in", "caption_projection.linear_1", width, c.captionChannels, role: .sensitiveLinear, bias: true)
        captionOut = table.linear("\(prefix).caption.out", "caption_projection.linear_2", width, width, role: .sensitiveLinear, bias: true)
        captionNorm = table.norm("\(prefix).caption.norm", "caption_norm", width)
    }
}

/// The weights of the networks of time and guidance.
struct TimeEmbeddingRows: Sendable {
    let time: [Parameters]
    /// Empty where nobody is told the guidance.
    let guidance: [Parameters]
    let modulation: Parameters

    /// Channels of the sinusoids of time and guidance; fixed in diffusers' SanaCombinedTimestepGuidanceEmbeddings.
    static let sinusoidChannels = 256

    /// - Parameter embedsGuidance: without, diffusers' class is another one, whose names have a part more.
    init(_ width: Int, prefix: String = "dit", embedsGuidance: Bool = true, _ table: inout TableBuilder) {
        func embedder(_ name: String, _ source: String) -> [Parameters] {
            [("in", "linear_1", Self.sinusoidChannels), ("out", "linear_2", width)].map { part, linear, inputs in
                table.linear("\(prefix).\(name).\(part)", "time_embed.\(source)_embedder.\(linear)", width, inputs, role: .sensitiveLinear, bias: true)
            }
        }
        time = embedder("time", embedsGuidance ? "timestep" : "emb.timestep")
        guidance = embedsGuidance ? embedder("guidance", "guidance") : []
        modulation = table.linear("\(prefix).modulation", "time_embed.linear", 6 * width, width, role: .sensitiveLinear, bias: true)
    }

    /// The tables that stand in their place.
    static func tables(of schedule: FrozenSchedule, _ width: Int, _ table: inout TableBuilder) -> ConditioningRows.Timing {
        let embedders = ["timestep", "guidance"].flatMap { source in
            [
                (name: "time_embed.\(source)_embedder.linear_1", outputs: width, inputs: sinusoidChannels),
                (name: "time_embed.\(source)_embedder.linear_2", outputs: width, inputs: width),
            ]
        }
        return .tables(
            embedding: table.computed(ScheduleTables.embeddingName, [schedule.rows.count, width], by: .scheduleEmbedding, from: embedders),
            modulation: table.computed(
                ScheduleTables.modulationName, [schedule.rows.count, 6, width], by: .scheduleModulation, from: [("time_embed.linear", 6 * width, width)]),
            schedule)
    }
}
