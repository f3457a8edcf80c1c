import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

struct CheckpointTests {
    @Test("the trained checkpoint opens with all its parts") func trained() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("tiny-sprint"))
        #expect(checkpoint.className == "SanaSprintPipeline")
        #expect(checkpoint.components.keys.sorted() == ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"])
        let counts = checkpoint.components.mapValues(\.tensorNames.count)
        #expect(counts == ["scheduler": 0, "text_encoder": 35, "tokenizer": 0, "transformer": 135, "vae": 131])
        let transformer = try #require(checkpoint.components["transformer"])
        #expect(transformer.configuration["num_layers"] == 5)
        #expect(transformer.className == "SanaTransformer2DModel")
        #expect(transformer.variant == nil)
        #expect(checkpoint.components["scheduler"]?.configuration["sigma_data"] == .number(0.5))
        #expect(
            checkpoint.weightFiles.map(\.path) == [
                "text_encoder/model.safetensors", "transformer/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
            ])
        try checkpoint.checkUnchanged()
    }

    @Test("every configuration and tokenizer file is carried, byte for byte") func smallFiles() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("tiny-sprint"))
        #expect(
            checkpoint.smallFiles.map(\.path) == [
                "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "tokenizer/special_tokens_map.json",
                "tokenizer/tokenizer.json",
                "tokenizer/tokenizer.model", "tokenizer/tokenizer_config.json", "transformer/config.json", "vae/config.json",
            ])
        for file in checkpoint.smallFiles {
            #expect(try InputFile(path: Fixtures.path("tiny-sprint/\(file.path)")).contents(limit: 1 << 20) == file.bytes, "\(file.path)")
        }
        #expect(checkpoint.tokenizerJSON?.bytes.count == 64_484)
    }

    @Test("every file that was read counts as an input") func inputs() throws {
        let mini = try MiniCheckpoint()
        let checkpoint = try Checkpoint.open(mini.path)
        for name in checkpoint.smallFiles.map(\.path) + checkpoint.weightFiles.map(\.path) {
            let path = mini.folder.file(name)
            #expect(throws: FileError.isInput(path: path)) { try OutputFile(path: path, kind: .anything, replace: true, inputs: checkpoint.inputIdentities) }
        }
    }

    @Test("tensors are read whole and in parts") func reads() throws {
        let mini = try MiniCheckpoint()
        let component = try #require(try Checkpoint.open(mini.path).components["transformer"])
        #expect(component.tensorNames == ["a", "b"])
        #expect(try component.read("b").contents.elementsEqual("b".utf8))
        #expect(try component.bytes(of: "a", 0..<1) == Array("a".utf8))
        #expect(component.entry("a")?.byteCount == 1)
        #expect(component.files.map(\.tensors) == [[.init(name: "a", dtype: .u8, shape: [1]), .init(name: "b", dtype: .u8, shape: [1])]])
        #expect(component.entry("c") == nil)
        #expect(throws: CheckpointError.missingTensor(folder: component.folder, tensor: "c")) { try component.read("c") }
    }

    @Test("parts of a tensor are the parts of the whole") func ranges() throws {
        let component = try #require(try Checkpoint.open(Fixtures.path("tiny-sprint")).components["vae"])
        var random = SplitMix64(seed: 5)
        for name in component.tensorNames.shuffled(using: &random).prefix(20) {
            let whole = try component.read(name).contents
            let begin = Int.random(in: 0...whole.count, using: &random)
            let end = Int.random(in: begin...whole.count, using: &random)
            #expect(try component.bytes(of: name, UInt64(begin)..<UInt64(end)).elementsEqual(whole[begin..<end]), "\(name) \(begin)..<\(end)")
        }
    }

    @Test("components set to null are absent, settings of the pipeline are no components") func absent() throws {
        let mini = try MiniCheckpoint()
        try mini.write(
            """
            {"_class_name": "SanaSprintPipeline", "transformer": ["diffusers", "SanaTransformer2DModel"], "vae": [null, null], "image_encoder": [null, null],
             "text_encoder": [null, null], "requires_safety_checker": false, "name": "x", "setting": null}
            """, "model_index.json")
        let checkpoint = try Checkpoint.open(mini.path)
        #expect(Array(checkpoint.components.keys) == ["transformer"])
        #expect(checkpoint.smallFiles.map(\.path) == ["model_index.json", "transformer/config.json"])
        #expect(checkpoint.tokenizerJSON == nil)
    }

    @Test("other spellings of the classes", arguments: [("GemmaTokenizer", "Gemma2ForCausalLM"), ("GemmaTokenizerFast", "Gemma2Model")])
    func classNames(tokenizer: String, encoder: String) throws {
        let mini = try MiniCheckpoint()
        let index = MiniCheckpoint.modelIndex.split(separator: "Gemma2Model").joined(separator: encoder).split(separator: "GemmaTokenizerFast").joined(
            separator: tokenizer)
        try mini.write(index, "model_index.json")
        #expect(try Checkpoint.open(mini.path).components["text_encoder"]?.className == encoder)
    }

    @Test("the text encoder's prefix is optional, and its output head is ignored") func prefix() throws {
        let mini = try MiniCheckpoint()
        try mini.weights("text_encoder/model.safetensors", ["model.norm.weight", "lm_head.weight", "model.embed_tokens.weight"])
        let component = try #require(try Checkpoint.open(mini.path).components["text_encoder"])
        #expect(component.tensorNames == ["embed_tokens.weight", "norm.weight"])
        #expect(component.entry("norm.weight")?.name == "model.norm.weight")
        #expect(try component.read("norm.weight").contents.elementsEqual("model.norm.weight".utf8))
        // The prefix and the head are the text encoder's: elsewhere both are ordinary names, which a weight table has to claim.
        try mini.weights("transformer/diffusion_pytorch_model.safetensors", ["model.x", "lm_head.weight"])
        #expect(try Checkpoint.open(mini.path).components["transformer"]?.tensorNames == ["lm_head.weight", "model.x"])
    }

    @Test("a name with and without the prefix is an error") func prefixCollision() throws {
        let mini = try MiniCheckpoint()
        try mini.weights("text_encoder/model.safetensors", ["model.x", "x"])
        let error = CheckpointError.nameCollision(folder: mini.folder.file("text_encoder"), tensor: "x", stored: ["model.x", "x"])
        #expect(throws: error) { try Checkpoint.open(mini.path) }
    }

    @Test("links, as a download cache makes them, are followed") func links() throws {
        let mini = try MiniCheckpoint()
        let blob = try TemporaryFolder()
        try OutputFile.write(
            try InputFile(path: mini.folder.file("vae/diffusion_pytorch_model.safetensors")).contents(limit: 1000), to: blob.file("blob"), replace: false)
        mini.remove("vae/diffusion_pytorch_model.safetensors")
        try mini.link("vae/diffusion_pytorch_model.safetensors", to: blob.file("blob"))
        #expect(try Checkpoint.open(mini.path).components["vae"]?.tensorNames == ["c"])
    }

    @Test("a weight file that changes is noticed") func changes() throws {
        let mini = try MiniCheckpoint()
        let checkpoint = try Checkpoint.open(mini.path)
        try checkpoint.checkUnchanged()
        try grow(mini.folder.file("vae/diffusion_pytorch_model.safetensors"))
        #expect(throws: CheckpointError.safetensors(.file(.changedWhileReading(path: mini.folder.file("vae/diffusion_pytorch_model.safetensors"))))) {
            try checkpoint.checkUnchanged()
        }
    }
}
