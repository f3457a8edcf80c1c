import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing
import TorchFiles

@testable import Checkpoints

/// Weights in the names and containers of their authors, against the folders that they are the weights of.
struct OriginalFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func put(_ archive: TorchArchive, _ name: String = "model.pth") throws -> String { try folder.put(archive.bytes, name) }

    /// Both components must have the same tensors: names, types, shapes, bytes, and any rows of them.
    private func expectSame(
        _ checkpoint: Checkpoint, as folder: Checkpoint, _ component: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let found = try #require(checkpoint.components[component], sourceLocation: sourceLocation)
        let expected = try #require(folder.components[component], sourceLocation: sourceLocation)
        #expect(found.tensorNames == expected.tensorNames, sourceLocation: sourceLocation)
        for name in expected.tensorNames {
            let (left, right) = (try found.read(name), try expected.read(name))
            #expect(left.dtype == right.dtype && left.shape == right.shape, "\(name)", sourceLocation: sourceLocation)
            #expect(left.contents == right.contents, "\(name)", sourceLocation: sourceLocation)
            guard let rows = right.shape.extents.first, rows > 2 else { continue }
            let size = UInt64(right.shape.columns * right.dtype.byteCount)
            let range = size..<size * UInt64(rows - 1)
            let part = try found.bytes(of: name, range)
            #expect(part.elementsEqual(right.contents[Int(range.lowerBound)..<Int(range.upperBound)]), "rows of \(name)", sourceLocation: sourceLocation)
        }
        #expect(checkpoint.smallFiles == folder.smallFiles, sourceLocation: sourceLocation)
        try checkpoint.checkUnchanged()
    }

    /// Every way in which the weights of a transformer are wrapped.
    enum Wrapping: String, CaseIterable {
        case bare, stateDict, model, module, ddp, compiled, ddpOfCompiled, fsdp, comfyUI, base, parameters, transposed

        func archive(_ weights: [TorchArchive.Weight]) -> TorchArchive {
            func named(_ rename: (String) -> String) -> [TorchArchive.Weight] {
                weights.map { weight in
                    var weight = weight
                    weight.name = rename(weight.name)
                    return weight
                }
            }
            var archive: TorchArchive
            switch self {
            case .bare: archive = TorchArchive([("", weights)])
            case .stateDict, .parameters, .transposed: archive = TorchArchive([("state_dict", weights)])
            case .model: archive = TorchArchive([("model", weights)])
            case .module: archive = TorchArchive([("module", weights)])
            case .ddp: archive = TorchArchive([("state_dict", named { "module.\($0)" })])
            case .compiled: archive = TorchArchive([("state_dict", named { "_orig_mod.\($0)" })])
            case .ddpOfCompiled: archive = TorchArchive([("state_dict", named { "_orig_mod.module.\($0)" })])
            case .fsdp:
                archive = TorchArchive([
                    (
                        "",
                        named { name in
                            name.hasPrefix("blocks.") ? "_fsdp_wrapped_module.\(name.replacing(".attn.", with: "._fsdp_wrapped_module.attn."))" : name
                        }
                    )
                ])
            case .comfyUI: archive = TorchArchive([("model", named { "model.diffusion_model.\($0)" })])
            case .base: archive = TorchArchive([("", named { "base_model.\($0)" })])
            }
            archive.areParameters = self == .parameters
            if self == .transposed { archive.layout = .transposed }
            return archive
        }
    }

    @Test("NVlabs' transformer in every container is the folder's", arguments: Wrapping.allCases) func transformer(wrapping: Wrapping) throws {
        let base = Fixtures.path("odd")
        let file = try put(wrapping.archive(try OriginalWeights.transformer(Paths.join(base, "transformer"))))
        var source = CheckpointSource(file)
        source.base = base
        let checkpoint = try source.open()
        try expectSame(checkpoint, as: try Checkpoint.open(base), "transformer")
        #expect(checkpoint.path == base)
        #expect(
            Set(checkpoint.omissions.filter { $0.component == "transformer" }.map { String($0.name.split(separator: ".").suffix(2).joined(separator: ".")) })
                .isSuperset(of: ["logvar_linear.weight", "logvar_linear.bias"]))
        #expect(checkpoint.weightFiles.contains { $0.path == "transformer/model.pth" })
        #expect(checkpoint.inputIdentities.contains(try #require(FileIdentity(path: file))))
    }

    @Test("the trained checkpoint, as a single safetensors file in NVlabs' names too") func trained() throws {
        let base = Fixtures.path("tiny-sprint")
        let weights = try OriginalWeights.transformer(Paths.join(base, "transformer"))
        let expected = try Checkpoint.open(base)
        try expectSame(try Checkpoint.open(base, files: ["transformer": try put(TorchArchive([("state_dict", weights)]))]), as: expected, "transformer")
        let path = folder.file("single.safetensors")
        let writer = try SafetensorsWriter(
            path: path, kind: .anything, replace: true, tensors: weights.map { ("model.diffusion_model.\($0.name)", $0.dtype, Shape($0.shape)) })
        for weight in weights { try writer.append(weight.bytes) }
        try writer.finish()
        try expectSame(try Checkpoint.open(base, files: ["transformer": path]), as: expected, "transformer")
    }

    @Test("mit-han-lab's autoencoders", arguments: [("tiny-sprint", "main.conv", true), ("mini", "main.conv", true), ("odd", "main.conv.conv", false)])
    func autoencoder(name: String, down: String, hasShortcut: Bool) throws {
        let base = Fixtures.path(name)
        let weights = try OriginalWeights.autoencoder(Paths.join(base, "vae"), down: down, encoderShortcut: hasShortcut)
        let expected = try Checkpoint.open(base)
        for layout in [TorchArchive.Layout.contiguous, .transposed] {
            var archive = TorchArchive([("state_dict", weights)])
            archive.layout = layout
            try expectSame(try Checkpoint.open(base, files: ["vae": try put(archive)]), as: expected, "vae")
        }
    }

    @Test("an encoder that begins with a block, as in DC-AE in-1.0, keeps its first convolution in it") func firstBlock() throws {
        let configuration = try JSONValue.parse(Array(#"{"encoder_layers_per_block": [0, 4]}"#.utf8))
        let source = StoredTensor(name: "x", dtype: .f32, shape: [8, 3, 3, 3])
        func name(_ original: String, _ names: AutoencoderNames) throws -> [String] { try names.pieces(of: source, name: original, path: "p").map(\.name) }
        #expect(try name("encoder.project_in.conv.weight", AutoencoderNames(configuration: configuration)) == ["encoder.conv_in.conv.weight"])
        let other = AutoencoderNames(configuration: .object(JSONObject()))
        #expect(try name("encoder.project_in.conv.weight", other) == ["encoder.conv_in.weight"])
        #expect(try name("encoder.project_in.conv.conv.weight", other) == ["encoder.conv_in.conv.weight"])
        #expect(try name("decoder.project_out.op_list.2.conv.conv.bias", other) == ["decoder.conv_out.conv.bias"])
        for unknown in [
            "decoder", "decoder.x", "encoder.stages.0.weight", "encoder.stages.0.op_list.1.main.other.weight", "decoder.project_out.op_list.7.weight",
            "encoder.stages.0.op_list.1.context_module.main.aggreg.0.2.weight", "other.stages.0.op_list.1.main.conv.weight",
        ] {
            #expect(try name(unknown, other) == [unknown])
        }
    }

    @Test("the average is taken when it is asked for, and said to be there when not") func average() throws {
        let base = Fixtures.path("odd")
        let weights = try OriginalWeights.transformer(Paths.join(base, "transformer"))
        let zeros = weights.map { TorchArchive.Weight($0.name, $0.dtype, $0.shape, [UInt8](repeating: 0, count: $0.bytes.count)) }
        let file = try put(TorchArchive([("state_dict", zeros), ("state_dict_ema", weights), ("optimizer", [])]))
        let expected = try Checkpoint.open(base)
        let average = try Checkpoint.open(base, files: ["transformer": file], weights: .ema)
        try expectSame(average, as: expected, "transformer")
        #expect(average.omissions.contains { $0.name == "state_dict" && $0.reason.contains("--weights model") })
        let model = try Checkpoint.open(base, files: ["transformer": file])
        let first = try #require(try model.components["transformer"]?.read("proj_out.weight"))
        #expect(first.contents.allSatisfy { $0 == 0 })
        #expect(model.omissions.contains { $0.name == "state_dict_ema" && $0.reason.contains("--weights ema") })
        #expect(model.omissions.contains { $0.name == "optimizer" })
        let alone = try put(TorchArchive([("state_dict", weights)]), "alone.pth")
        #expect(throws: CheckpointError.noSuchWeights(path: alone, weights: "ema", expected: ["state_dict_ema", "ema"], found: ["state_dict"])) {
            try Checkpoint.open(base, files: ["transformer": alone], weights: .ema)
        }
    }

    @Test("a base needs no weights of what a file gives") func baseWithoutWeights() throws {
        let mini = try MiniCheckpoint()
        mini.remove("transformer/diffusion_pytorch_model.safetensors")
        let file = try put(TorchArchive([("", try OriginalWeights.transformer(Fixtures.path("odd/transformer")))]))
        #expect(throws: CheckpointError.self) { try Checkpoint.open(mini.path) }
        let checkpoint = try Checkpoint.open(mini.path, files: ["transformer": file])
        #expect(checkpoint.components["transformer"]?.entry("transformer_blocks.0.attn1.to_q.weight")?.shape == [80, 80])
        #expect(checkpoint.components["vae"]?.tensorNames == ["c"])
    }

    @Test("a text encoder from a folder of its own") func textEncoder() throws {
        let mini = try MiniCheckpoint()
        let gemma = folder.file("gemma")
        try Paths.makeDirectory(gemma)
        let weights = try InputFile(path: mini.folder.file("transformer/diffusion_pytorch_model.safetensors")).contents(limit: 1 << 20)
        try folder.put(weights, "gemma/model.safetensors")
        let configuration = #"{"architectures": ["Gemma2ForCausalLM"], "hidden_size": 3}"#
        try folder.put(Array(configuration.utf8), "gemma/config.json")
        mini.remove("text_encoder")
        let checkpoint = try Checkpoint.open(mini.path, folders: ["text_encoder": gemma])
        #expect(checkpoint.components["text_encoder"]?.tensorNames == ["a", "b"])
        #expect(checkpoint.smallFiles.contains { $0.path == "text_encoder/config.json" && $0.bytes == Array(configuration.utf8) })
        #expect(checkpoint.weightFiles.contains { $0.path == "text_encoder/model.safetensors" })
        let missing = folder.file("nowhere")
        #expect(throws: CheckpointError.notAComponent(path: missing, component: "text_encoder", found: "nothing")) {
            try Checkpoint.open(mini.path, folders: ["text_encoder": missing])
        }
    }

    @Test("what diffusers' training script writes: another class, two tensors of the loss") func trigFlow() throws {
        let mini = try MiniCheckpoint()
        try mini.write(#"{"_class_name": "SanaTrigFlow"}"#, "transformer/config.json")
        try mini.weights("transformer/diffusion_pytorch_model.safetensors", ["a", "logvar_linear.bias", "logvar_linear.weight"])
        let checkpoint = try Checkpoint.open(mini.path)
        #expect(checkpoint.components["transformer"]?.tensorNames == ["a"])
        #expect(checkpoint.omissions.map(\.name) == ["logvar_linear.bias", "logvar_linear.weight"])
    }

    // MARK: Refusals

    private func weight(_ name: String, _ shape: [Int] = [4]) -> TorchArchive.Weight {
        .init(name, .f32, shape, [UInt8](repeating: 0, count: 4 * shape.reduce(1, *)))
    }

    private func expect(_ names: [String], component: String = "transformer", _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        let mini = try MiniCheckpoint()
        let file = try put(TorchArchive([("state_dict", names.map { weight($0) })]))
        #expect(sourceLocation: sourceLocation) { try Checkpoint.open(mini.path, files: [component: file]) } throws: { error in
            ([file, "expected", "found"] + words).allSatisfy { "\(error)".contains($0) }
        }
    }

    @Test("files of something else say so") func relatives() throws {
        try expect(["heads.0.weight"], "discriminator")
        try expect(["x_embedder.proj.weight", "controlnet.0.before_proj.weight"], "control network")
        try expect(["decoder.stages.0.op_list.0.main.conv.conv.weight"], "--vae")
        try expect(["decoder.conv_in.weight"], "--vae")
        try expect(["unet.weight"], "x_embedder.proj.weight", "patch_embed.proj.weight", "unet.weight")
        try expect(["x_embedder.proj.weight"], component: "vae", "--transformer")
        try expect(["unet.weight"], component: "vae", "decoder.conv_in.weight")
    }

    @Test("fused projections that do not divide") func split() throws {
        let mini = try MiniCheckpoint()
        for (name, parts) in [("attn.qkv", 3), ("cross_attn.kv_linear", 2)] {
            let tensors = [weight("x_embedder.proj.weight"), weight("cfg_embedder.mlp.0.weight"), weight("blocks.0.\(name).weight", [7, 2])]
            let file = try put(TorchArchive([("", tensors)]))
            #expect(throws: CheckpointError.splitRows(path: file, tensor: "blocks.0.\(name).weight", parts: parts, shape: [7, 2])) {
                try Checkpoint.open(mini.path, files: ["transformer": file])
            }
        }
        #expect(throws: CheckpointError.self) { try ModuleNames.split(StoredTensor(name: "s", dtype: .f32, shape: []), into: ["a", "b"], path: "p") }
    }

    @Test("two tensors of one name once their wrappers are gone") func collision() throws {
        let mini = try MiniCheckpoint()
        let names = ["patch_embed.proj.weight", "a.b.weight", "a._orig_mod.b.weight"]
        let file = try put(TorchArchive([("", names.map { weight($0) })]))
        #expect(throws: CheckpointError.nameCollision(folder: file, tensor: "a.b.weight", stored: ["a.b.weight", "a._orig_mod.b.weight"])) {
            try Checkpoint.open(mini.path, files: ["transformer": file])
        }
    }

    @Test("what is no file of weights") func kinds() throws {
        let mini = try MiniCheckpoint()
        func open(_ path: String, weights: WeightsChoice = .model) throws { _ = try Checkpoint.open(mini.path, files: ["transformer": path], weights: weights) }
        #expect(throws: CheckpointError.weightsAreAFolder(path: mini.path, component: "transformer")) { try open(mini.path) }
        #expect(throws: CheckpointError.legacyTorch(path: Fixtures.path("torch/legacy.pth"))) { try open(Fixtures.path("torch/legacy.pth")) }
        let text = try folder.put(Array("hello, world".utf8), "text")
        #expect(throws: CheckpointError.self) { try open(text) }
        #expect(throws: CheckpointError.self) { try open(folder.file("nothing")) }
        let safetensors = mini.folder.file("vae/diffusion_pytorch_model.safetensors")
        #expect(throws: CheckpointError.noSuchWeights(path: safetensors, weights: "ema", expected: ["state_dict_ema", "ema"], found: [""])) {
            try open(safetensors, weights: .ema)
        }
        #expect { try open(Fixtures.path("torch/module.pth")) } throws: { error in
            guard case CheckpointError.torch(.global) = error else { return false }
            return "\(error)".contains("torch.nn.modules.linear.Linear")
        }
    }

    @Test("which path is a folder and which a file") func source() throws {
        let mini = try MiniCheckpoint()
        let file = mini.folder.file("model_index.json")
        #expect(throws: CheckpointError.fileWithoutFolder(path: file)) { try CheckpointSource(file).open() }
        var source = CheckpointSource(mini.path)
        source.base = mini.path
        #expect(throws: CheckpointError.twoFolders(path: mini.path, base: mini.path)) { try source.open() }
        #expect(throws: CheckpointError.notAFolder(path: "/nowhere", found: "nothing")) { try CheckpointSource("/nowhere").open() }
        mini.remove("vae")
        try mini.write(MiniCheckpoint.modelIndex.replacing("[\"diffusers\", \"AutoencoderDC\"]", with: "[null, null]"), "model_index.json")
        #expect(throws: CheckpointError.noSuchComponent(path: mini.path, component: "vae")) { try Checkpoint.open(mini.path, files: ["vae": file]) }
    }

    @Test(arguments: [
        (["module._orig_mod.a", "module._orig_mod.b"], ["a", "b"]), (["_orig_mod.module.a"], ["a"]), (["model.diffusion_model.a.b"], ["a.b"]),
        (["module.a", "b"], ["module.a", "b"]), (["a._fsdp_wrapped_module.b", "_checkpoint_wrapped_module.c"], ["a.b", "c"]), (["model."], ["model."]),
        (["model.model.a", "model.model.b"], ["a", "b"]), ([], []), (["a..b"], ["a..b"]),
    ])
    func prefixes(names: [String], expected: [String]) { #expect(NamePrefixes.stripped(names) == expected) }
}
