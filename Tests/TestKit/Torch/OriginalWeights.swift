import Files
import Safetensors
import Tensors

/// A diffusers folder's weights under the names of those who published the models first: the inverse of what SprintPack does, written down a second time.
package struct OriginalWeights {
    /// The component's tensors, by their names in diffusers.
    private var rest: [String: TorchArchive.Weight] = [:]
    package private(set) var weights: [TorchArchive.Weight] = []

    private init(_ folder: String) throws { rest = Dictionary(uniqueKeysWithValues: try Self.stored(folder).map { ($0.name, $0) }) }

    /// All tensors of a component's folder, as they are.
    package static func stored(_ folder: String) throws -> [TorchArchive.Weight] {
        try Paths.entries(of: folder).filter { $0.hasSuffix(".safetensors") }.flatMap { name in
            let file = try SafetensorsFile.open(Paths.join(folder, name))
            return try file.header.entries.map { entry in
                TorchArchive.Weight(entry.name, entry.dtype, entry.shape.extents, try file.read(entry.name).contents)
            }
        }
    }

    /// Takes tensors, weight and bias where there is one, and adds them under another name: several as one, row below row.
    private mutating func move(_ modules: [String], to name: String, shape: (([Int]) -> [Int])? = nil) {
        for suffix in ["weight", "bias"] {
            let parts = modules.compactMap { rest.removeValue(forKey: "\($0).\(suffix)") }
            guard var joined = parts.first else { continue }
            joined.name = "\(name).\(suffix)"
            for part in parts.dropFirst() {
                joined.bytes += part.bytes
                joined.shape[0] += part.shape[0]
            }
            if suffix == "weight", let shape { joined.shape = shape(joined.shape) }
            weights.append(joined)
        }
    }

    private mutating func move(table name: String, to other: String) {
        guard var table = rest.removeValue(forKey: name) else { return }
        table.name = other
        weights.append(table)
    }

    private mutating func addZeros(_ name: String, _ shape: [Int]) {
        let dtype = weights.first?.dtype ?? .f32
        weights.append(.init(name, dtype, shape, [UInt8](repeating: 0, count: shape.reduce(dtype.byteCount, *))))
    }

    /// NVlabs' transformer, with the four tensors that training adds.
    package static func transformer(_ folder: String) throws -> [TorchArchive.Weight] {
        var model = try OriginalWeights(folder)
        for (from, to) in [
            ("patch_embed.proj", "x_embedder.proj"), ("time_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
            ("time_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
            ("time_embed.emb.timestep_embedder.linear_1", "t_embedder.mlp.0"), ("time_embed.emb.timestep_embedder.linear_2", "t_embedder.mlp.2"),
            ("time_embed.guidance_embedder.linear_1", "cfg_embedder.mlp.0"),
            ("time_embed.guidance_embedder.linear_2", "cfg_embedder.mlp.2"), ("time_embed.linear", "t_block.1"),
            ("caption_projection.linear_1", "y_embedder.y_proj.fc1"), ("caption_projection.linear_2", "y_embedder.y_proj.fc2"),
            ("caption_norm", "attention_y_norm"), ("proj_out", "final_layer.linear"),
        ] { model.move([from], to: to) }
        model.move(table: "scale_shift_table", to: "final_layer.scale_shift_table")
        var block = 0
        while model.moveBlock(block, to: "blocks.\(block).") { block += 1 }
        precondition(model.rest.isEmpty, "\(model.rest.keys)")
        let width = model.weights.first?.shape.first ?? 0
        model.addZeros("pos_embed", [1, 4, width])
        model.addZeros("y_embedder.y_embedding", [3, 8])
        model.addZeros("logvar_linear.weight", [1, width])
        model.addZeros("logvar_linear.bias", [1])
        return model.weights
    }

    /// Takes a block of a transformer; false where there is none of that number.
    private mutating func moveBlock(_ block: Int, to: String) -> Bool {
        let from = "transformer_blocks.\(block)."
        guard rest.keys.contains("\(from)scale_shift_table") else { return false }
        move(table: "\(from)scale_shift_table", to: "\(to)scale_shift_table")
        move(["q", "k", "v"].map { "\(from)attn1.to_\($0)" }, to: "\(to)attn.qkv")
        move(["k", "v"].map { "\(from)attn2.to_\($0)" }, to: "\(to)cross_attn.kv_linear")
        for (module, other) in [
            ("attn1.norm_q", "attn.q_norm"), ("attn1.norm_k", "attn.k_norm"), ("attn1.to_out.0", "attn.proj"), ("attn2.to_q", "cross_attn.q_linear"),
            ("attn2.norm_q", "cross_attn.q_norm"), ("attn2.norm_k", "cross_attn.k_norm"), ("attn2.to_out.0", "cross_attn.proj"),
            ("ff.conv_inverted", "mlp.inverted_conv.conv"), ("ff.conv_depth", "mlp.depth_conv.conv"), ("ff.conv_point", "mlp.point_conv.conv"),
        ] { move([from + module], to: to + other) }
        return true
    }

    /// NVlabs' control network, which has the whole base beside it.
    /// - Parameters:
    ///   - folder: of a network without embedders of its own.
    ///   - base: the folder of its transformer.
    package static func control(_ folder: String, base: String) throws -> [TorchArchive.Weight] {
        var model = try OriginalWeights(folder)
        var block = 0
        while model.moveBlock(block, to: "controlnet.\(block).copied_block.") {
            model.move(["controlnet_blocks.\(block)"], to: "controlnet.\(block).after_proj")
            block += 1
        }
        model.move(["input_block"], to: "controlnet.0.before_proj")
        precondition(model.rest.isEmpty, "\(model.rest.keys)")
        return try transformer(base) + model.weights
    }

    /// mit-han-lab's autoencoder.
    /// - Parameters:
    ///   - down: what a down block's convolution is called inside it: "main.conv", or "main.conv.conv" where it moves pixels to channels.
    ///   - encoderShortcut: whether the encoder's last convolution has a shortcut.
    package static func autoencoder(_ folder: String, down: String, encoderShortcut: Bool) throws -> [TorchArchive.Weight] {
        var model = try OriginalWeights(folder)
        model.move(["encoder.conv_in"], to: "encoder.project_in.conv")
        model.move(["encoder.conv_in.conv"], to: "encoder.project_in.conv")
        model.move(["encoder.conv_out"], to: "encoder.project_out.\(encoderShortcut ? "main." : "")op_list.0.conv")
        model.move(["decoder.conv_in"], to: "decoder.project_in.main.conv")
        model.move(["decoder.norm_out"], to: "decoder.project_out.op_list.0")
        model.move(["decoder.conv_out"], to: "decoder.project_out.op_list.2.conv")
        model.move(["decoder.conv_out.conv"], to: "decoder.project_out.op_list.2.conv.conv")
        let blocks = Set(model.rest.keys.map { $0.split(separator: ".").prefix(4).joined(separator: ".") })
        for block in blocks.sorted() {
            let parts = block.split(separator: ".")
            let (from, to) = ("\(block).", "\(parts[0]).stages.\(parts[2]).op_list.\(parts[3]).")
            let attention = "\(to)context_module.main."
            model.move(["q", "k", "v"].map { "\(from)attn.to_\($0)" }, to: "\(attention)qkv.conv") { $0 + [1, 1] }
            model.move(["\(from)attn.to_out"], to: "\(attention)proj.conv") { $0 + [1, 1] }
            for scale in 0..<3 {
                model.move(["\(from)attn.to_qkv_multiscale.\(scale).proj_in"], to: "\(attention)aggreg.\(scale).0")
                model.move(["\(from)attn.to_qkv_multiscale.\(scale).proj_out"], to: "\(attention)aggreg.\(scale).1")
            }
            for (module, other) in [
                ("attn.norm_out", "context_module.main.proj.norm"), ("conv_out.conv_inverted", "local_module.main.inverted_conv.conv"),
                ("conv_out.conv_depth", "local_module.main.depth_conv.conv"), ("conv_out.conv_point", "local_module.main.point_conv.conv"),
                ("conv_out.norm", "local_module.main.point_conv.norm"), ("conv1", "main.conv1.conv"), ("conv2", "main.conv2.conv"), ("norm", "main.conv2.norm"),
                ("conv", parts[0] == "encoder" ? down : "main.conv.conv"),
            ] { model.move([from + module], to: to + other) }
        }
        precondition(model.rest.isEmpty, "\(model.rest.keys)")
        return model.weights
    }
}
