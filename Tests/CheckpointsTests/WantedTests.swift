import Tensors
import TestKit
import Testing

@testable import Checkpoints

/// What a checkpoint may lack or have too much of, by what is wanted of it.
struct WantedTests {
    let mini: MiniCheckpoint

    init() throws { mini = try MiniCheckpoint() }

    private func open(wanted: Set<String>? = nil, ignored: [String] = []) throws -> Checkpoint {
        var source = CheckpointSource(mini.path)
        (source.wanted, source.ignored) = (wanted, ignored.map { Glob($0) })
        return try source.open()
    }

    @Test("what is not wanted need not be there, nor be right") func wanted() throws {
        mini.remove("text_encoder")
        try mini.write("no JSON", "vae/config.json")
        let checkpoint = try open(wanted: ["transformer", "scheduler", "tokenizer"])
        #expect(checkpoint.components.keys.sorted() == ["scheduler", "tokenizer", "transformer"])
        #expect(checkpoint.omissions.map(\.name) == ["vae", "text_encoder"])
        #expect(checkpoint.omissions.allSatisfy { $0.reason.hasPrefix("not wanted, and not read: ") })
        #expect(!checkpoint.smallFiles.contains { $0.path.hasPrefix("vae/") })
        #expect(throws: CheckpointError.missingComponent(path: mini.path, component: "text_encoder")) {
            try open(wanted: ["transformer", "text_encoder"])
        }
        mini.remove("vae")
        #expect(throws: CheckpointError.missingComponent(path: mini.path, component: "vae")) { try open() }
    }

    @Test("patterns leave out names, and are missed where they fit none") func ignored() throws {
        try mini.weights("transformer/diffusion_pytorch_model.safetensors", ["a", "loss.logvar", "loss.scale", "step"])
        let checkpoint = try open(ignored: ["loss.*", "ste?"])
        #expect(checkpoint.components["transformer"]?.tensorNames == ["a"])
        #expect(
            checkpoint.omissions == [
                .init(component: "transformer", name: "loss.logvar", reason: "--ignore loss.*"),
                .init(component: "transformer", name: "loss.scale", reason: "--ignore loss.*"),
                .init(component: "transformer", name: "step", reason: "--ignore ste?"),
            ])
        try checkpoint.checkIgnored()
        #expect(throws: CheckpointError.nothingIgnored(path: mini.path, pattern: "lost.*")) { try open(ignored: ["step", "lost.*"]).checkIgnored() }
    }

    @Test("an output head is the table of tokens where only it is stored, unless it is another one") func ties() throws {
        try mini.weights("text_encoder/model.safetensors", ["model.norm.weight", "lm_head.weight"])
        let component = try #require(try open().components["text_encoder"])
        #expect(component.tensorNames == ["embed_tokens.weight", "norm.weight"])
        #expect(try component.read("embed_tokens.weight").contents.elementsEqual("lm_head.weight".utf8))
        #expect(try open().omissions.isEmpty)
        try mini.write("{\"architectures\": [\"Gemma2ForCausalLM\"], \"tie_word_embeddings\": false}", "text_encoder/config.json")
        #expect(try open().components["text_encoder"]?.tensorNames == ["norm.weight"])
        #expect(try open().omissions.map(\.name) == ["lm_head.weight"])
    }

    @Test("weight files that are not taken are listed") func unused() throws {
        let base = "diffusion_pytorch_model"
        for name in ["\(base).fp16.safetensors", "\(base)-00001-of-00002.fp16.safetensors", "other.safetensors", "._\(base).safetensors"] {
            try mini.weights("vae/\(name)", ["x"])
        }
        try mini.write("x", "vae/\(base).bin")
        let omissions = try open().omissions
        #expect(omissions.allSatisfy { $0.component == "vae" && $0.reason.contains("\(base).safetensors is") })
        #expect(
            omissions.map(\.name) == [
                "\(base)-00001-of-00002.fp16.safetensors", "\(base).bin", "\(base).fp16.safetensors", "other.safetensors",
            ])
        #expect(omissions.filter { $0.reason.contains("--variant fp16") }.count == 2)
    }
}
