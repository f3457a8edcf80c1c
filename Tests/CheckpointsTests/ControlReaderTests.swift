import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

/// Control networks beside a checkpoint: from a folder of diffusers, from a file of NVlabs, in either wiring.
struct ControlReaderTests {
    let folder: TemporaryFolder
    private static let (tiny, control) = (Fixtures.path("tiny-sprint"), Fixtures.path("tiny-sprint-controlnet"))
    private static let (odd, oddControl) = (Fixtures.path("odd"), Fixtures.path("odd-controlnet"))

    init() throws { folder = try TemporaryFolder() }

    private static func open(_ base: String, _ path: String, _ wiring: ControlWiring? = nil) throws -> Checkpoint {
        let place = ["controlnet": path]
        let (files, folders) = Paths.isDirectory(path) ? ([:], place) : (place, [:])
        return try Checkpoint.open(base, variant: base == odd ? "fp16" : nil, files: files, folders: folders, wiring: wiring)
    }

    private static func component(_ checkpoint: Checkpoint) throws -> CheckpointComponent { try #require(checkpoint.components["controlnet"]) }

    private static func words(_ component: CheckpointComponent) -> [String?] {
        [component.configuration["control_wiring"]?.string, component.configuration["control_embedders"]?.string]
    }

    @Test func aCheckpointHasNoneThatItIsNotGiven() throws {
        #expect(try Checkpoint.open(Self.tiny).components["controlnet"] == nil)
    }

    @Test("a folder is wired as diffusers does it, unless it or the user says otherwise") func wirings() throws {
        #expect(Self.words(try Self.component(try Self.open(Self.odd, Self.oddControl))) == ["diffusers", "own"])
        #expect(Self.words(try Self.component(try Self.open(Self.odd, Self.oddControl, .nvlabs))) == ["nvlabs", "base"])
        #expect(Self.words(try Self.component(try Self.open(Self.tiny, Self.control))) == ["nvlabs", "base"])
        #expect(Self.words(try Self.component(try Self.open(Self.tiny, Self.control, .diffusers))) == ["diffusers", "base"])
    }

    @Test("what is packed says what was settled") func configuration() throws {
        let checkpoint = try Self.open(Self.odd, Self.oddControl, .nvlabs)
        let file = try #require(checkpoint.smallFiles.first { $0.path == "controlnet/config.json" })
        #expect(try JSONValue.parse(file.bytes) == (try Self.component(checkpoint)).configuration)
        #expect(checkpoint.smallFiles.count { $0.path.hasPrefix("controlnet/") } == 1)
    }

    /// A copy of a network's folder with the base's embedders, one of them changed.
    private func withEmbedders(changed: String?) throws -> String {
        let path = folder.file("network-\(changed ?? "")")
        try Paths.makeDirectory(path)
        let text = try InputFile(path: Paths.join(Self.control, "config.json")).contents(limit: 1 << 20)
        try folder.put(text, "network-\(changed ?? "")/config.json")
        let (own, base) = (try OriginalWeights.stored(Self.control), try OriginalWeights.stored(Paths.join(Self.tiny, "transformer")))
        let embedders = base.filter { weight in
            ["patch_embed.", "time_embed.", "caption_projection.", "caption_norm."].contains { weight.name.hasPrefix($0) }
        }
        let weights = own + embedders
        let writer = try SafetensorsWriter(
            path: Paths.join(path, "diffusion_pytorch_model.safetensors"), kind: .anything, replace: true,
            tensors: weights.map { ($0.name, $0.dtype, Shape($0.shape)) })
        for weight in weights {
            var bytes = weight.bytes
            if weight.name == changed { bytes[0] ^= 1 }
            try writer.append(bytes)
        }
        try writer.finish()
        return path
    }

    @Test("embedders that are the base's are kept once; others are the network's own, where its wiring has any") func embedders() throws {
        let same = try Self.component(try Self.open(Self.tiny, try withEmbedders(changed: nil), .diffusers))
        #expect(Self.words(same) == ["diffusers", "base"])
        #expect(same.tensorNames == (try Self.component(try Self.open(Self.tiny, Self.control))).tensorNames)
        let changed = try withEmbedders(changed: "time_embed.linear.bias")
        let own = try Self.open(Self.tiny, changed, .diffusers)
        #expect(Self.words(try Self.component(own)) == ["diffusers", "own"])
        #expect(own.omissions.isEmpty)
        let left = try Self.open(Self.tiny, changed, .nvlabs)
        #expect(Self.words(try Self.component(left)) == ["nvlabs", "base"])
        #expect(left.omissions.count == 17 && left.omissions.allSatisfy { $0.reason.contains("from which these differ") })
    }

    @Test("a file of NVlabs, with its base in it, is the folder that it was made from") func original() throws {
        let weights = try OriginalWeights.control(Self.control, base: Paths.join(Self.tiny, "transformer"))
        let path = try folder.put(TorchArchive([("state_dict", weights)]).bytes, "control.pth")
        let (file, expected) = (try Self.component(try Self.open(Self.tiny, path)), try Self.component(try Self.open(Self.tiny, Self.control)))
        #expect(file.tensorNames == expected.tensorNames)
        for name in expected.tensorNames { #expect(try file.read(name).contents == expected.read(name).contents, "\(name)") }
        #expect(Self.words(file) == ["nvlabs", "base"])
        for key in ["num_layers", "qk_norm", "num_attention_heads", "_class_name", "guidance_embeds"] {
            #expect(file.configuration[key] == expected.configuration[key], "\(key)")
        }
        #expect(Self.words(try Self.component(try Self.open(Self.tiny, path, .diffusers))) == ["diffusers", "base"])
        let reasons = try Self.open(Self.tiny, path).omissions.map(\.reason)
        #expect(reasons.contains("weights of the base, which the checkpoint has") && reasons.contains("the base has the same, which are kept once"))
        // A single file in the names of diffusers.
        let plain = try Self.component(try Self.open(Self.tiny, Paths.join(Self.control, "diffusion_pytorch_model.safetensors")))
        #expect(plain.tensorNames == expected.tensorNames && Self.words(plain) == ["diffusers", "base"])
    }

    @Test("what is no control network is named") func errors() throws {
        let transformer = Paths.join(Self.tiny, "transformer/diffusion_pytorch_model.safetensors")
        #expect(throws: CheckpointError.otherModel(path: transformer, found: "a transformer", advice: "give it with --transformer")) {
            try Self.open(Self.tiny, transformer)
        }
        let network = try folder.put(
            TorchArchive([("", try OriginalWeights.control(Self.control, base: Paths.join(Self.tiny, "transformer")))]).bytes, "base.pth")
        #expect(
            throws: CheckpointError.otherModel(path: network, found: "a control network", advice: "give it with --controlnet, beside its base")
        ) { try Checkpoint.open(Self.tiny, files: ["transformer": network]) }
        #expect(throws: CheckpointError.self) { try Self.open(Self.tiny, Paths.join(Self.tiny, "transformer")) }
        let missing = folder.file("missing")
        #expect(throws: CheckpointError.notAComponent(path: missing, component: "controlnet", found: "nothing")) {
            try Checkpoint.open(Self.tiny, folders: ["controlnet": missing])
        }
        try Paths.makeDirectory(folder.file("worded"))
        try folder.put(Array("{\"_class_name\": \"SanaControlNetModel\", \"control_wiring\": \"other\"}".utf8), "worded/config.json")
        try folder.put(
            try InputFile(path: Paths.join(Self.control, "diffusion_pytorch_model.safetensors")).contents(limit: 1 << 30),
            "worded/diffusion_pytorch_model.safetensors")
        #expect(throws: CheckpointError.self) { try Self.open(Self.tiny, folder.file("worded")) }
    }
}
