import Tensors

/// The names of NVlabs' SANA (diffusion/model/nets/sana_multi_scale.py) in those of diffusers' SanaTransformer2DModel. No value changes: rows of fused
/// projections are told apart, all else is renamed. Formats/checkpoint.md has the table.
enum TransformerNames {
    /// The tensor that tells the names of NVlabs from those of diffusers.
    static let originalMark = "x_embedder.proj.weight"
    static let diffusersMark = "patch_embed.proj.weight"

    /// Whether names of NVlabs are of a model that is told the guidance: Sprint. SANA, SANA-1.5 and Sprint's teachers are not.
    static func embedsGuidance(_ names: [String]) -> Bool { names.contains { $0.hasPrefix("cfg_embedder.") } }

    private static let modules = ModuleNames(modules(times: "time_embed.timestep_embedder"))
    private static let flowModules = ModuleNames(modules(times: "time_embed.emb.timestep_embedder"))

    private static func modules(times: String) -> [String: [String]] {
        [
            "x_embedder.proj": ["patch_embed.proj"],
            "y_embedder.y_proj.fc1": ["caption_projection.linear_1"],
            "y_embedder.y_proj.fc2": ["caption_projection.linear_2"],
            "attention_y_norm": ["caption_norm"],
            "t_embedder.mlp.0": [times + ".linear_1"],
            "t_embedder.mlp.2": [times + ".linear_2"],
            "cfg_embedder.mlp.0": ["time_embed.guidance_embedder.linear_1"],
            "cfg_embedder.mlp.2": ["time_embed.guidance_embedder.linear_2"],
            "t_block.1": ["time_embed.linear"],
            "final_layer.linear": ["proj_out"],
        ]
    }

    private static let blockModules = ModuleNames([
        "attn.qkv": ["attn1.to_q", "attn1.to_k", "attn1.to_v"],
        "attn.q_norm": ["attn1.norm_q"],
        "attn.k_norm": ["attn1.norm_k"],
        "attn.proj": ["attn1.to_out.0"],
        "cross_attn.q_linear": ["attn2.to_q"],
        "cross_attn.kv_linear": ["attn2.to_k", "attn2.to_v"],
        "cross_attn.q_norm": ["attn2.norm_q"],
        "cross_attn.k_norm": ["attn2.norm_k"],
        "cross_attn.proj": ["attn2.to_out.0"],
        "mlp.inverted_conv.conv": ["ff.conv_inverted"],
        "mlp.depth_conv.conv": ["ff.conv_depth"],
        "mlp.point_conv.conv": ["ff.conv_point"],
    ])

    /// What training needs and drawing does not.
    static let omitted: [String: String] = [
        "pos_embed": "positions, which are computed where a model uses them",
        "y_embedder.y_embedding": "the caption of training without one",
        "logvar_linear.weight": "a weight of the training loss",
        "logvar_linear.bias": "a weight of the training loss",
    ]

    /// The pieces of a tensor of that name, prefixes stripped. A name that is in no table stays as it is, so that it is reported with all others that
    /// fit nothing.
    /// - Parameter embedsGuidance: of the file; without, diffusers has the embedder of times elsewhere.
    static func pieces(of source: StoredTensor, name: String, path: String, embedsGuidance: Bool) throws(CheckpointError) -> [TensorPiece] {
        if name == "final_layer.scale_shift_table" { return [TensorPiece(name: "scale_shift_table", source: source)] }
        guard let (module, suffix) = ModuleNames.parts(of: name) else { return [TensorPiece(name: name, source: source)] }
        if let block = Block(module) {
            let prefix = "transformer_blocks.\(block.index)."
            if block.module.isEmpty, suffix == "scale_shift_table" { return [TensorPiece(name: "\(prefix)scale_shift_table", source: source)] }
            if let pieces = try blockModules.pieces(of: source, module: block.module, suffix: suffix, prefix: prefix, path: path) { return pieces }
        }
        let names = embedsGuidance ? modules : flowModules
        return try names.pieces(of: source, module: module, suffix: suffix, path: path) ?? [TensorPiece(name: name, source: source)]
    }

    /// Every module of a model with blocks of these numbers, and the modules of diffusers that its rows are, in equal parts.
    static func originals(blocks: Set<String>) -> [(original: String, modules: [String])] {
        modules.all
            + blocks.flatMap { index in
                blockModules.all.map { row in ("blocks.\(index).\(row.original)", row.modules.map { "transformer_blocks.\(index).\($0)" }) }
            }
    }

    /// "blocks.3.attn.qkv" taken apart.
    private struct Block {
        let index: String
        /// Empty for the block itself.
        let module: String

        init?(_ module: String) {
            let parts = module.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count >= 2, parts[0] == "blocks", !parts[1].isEmpty, parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            index = String(parts[1])
            self.module = parts.count > 2 ? String(parts[2]) : ""
        }
    }

    /// Files that hold something else in a similar form, by what their names begin with.
    static let relatives: [(prefix: String, what: String, advice: String)] = [
        ("heads.", "the discriminator of the training", "give the file of the model"),
        ("controlnet.", "a control network", "give it with --controlnet, beside its base"),
    ]
}
