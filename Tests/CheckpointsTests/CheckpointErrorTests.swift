import Checkpoints
import Files
import Glibc
import Safetensors
import StrictJSON
import TestKit
import Testing

/// One broken folder per error, each with the very error it must give.
struct CheckpointErrorTests {
    let mini: MiniCheckpoint
    private func file(_ name: String) -> String { mini.folder.file(name) }

    init() throws { mini = try MiniCheckpoint() }

    private func expect(_ error: CheckpointError, _ part: String = "", variant: String? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(throws: error, sourceLocation: sourceLocation) { try Checkpoint.open(mini.path, variant: variant) }
        #expect(part.isEmpty || "\(error)".contains(part), sourceLocation: sourceLocation)
    }

    @Test func notAFolder() {
        let missing = file("missing")
        #expect(throws: CheckpointError.notAFolder(path: missing, found: "nothing")) { try Checkpoint.open(missing) }
        let index = file("model_index.json")
        #expect(throws: CheckpointError.notAFolder(path: index, found: "a file")) { try Checkpoint.open(index) }
    }

    @Test func noModelIndex() {
        mini.remove("model_index.json")
        expect(.noModelIndex(path: mini.path, found: ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"]), "model_index.json")
    }

    @Test("one component given as the checkpoint", arguments: [("transformer", "SanaTransformer2DModel"), ("text_encoder", "Gemma2Model")])
    func componentOnly(name: String, className: String) {
        let error = CheckpointError.componentOnly(path: file(name), className: className)
        #expect(throws: error) { try Checkpoint.open(file(name)) }
        #expect("\(error)".contains("give the folder above"))
    }

    @Test(
        "other pipelines are refused with the list of what is supported",
        arguments: ["FluxPipeline", "SanaPAGPipeline", "StableDiffusionPipeline", ""])
    func unsupportedPipeline(name: String) throws {
        try mini.write("{\"_class_name\": \"\(name)\"}", "model_index.json")
        let reason = name.hasPrefix("Sana") ? "perturbed attention guidance is not supported; its weights are those of a SanaPipeline, which is" : nil
        expect(
            .unsupportedPipeline(
                path: file("model_index.json"), found: name, supported: ["SanaSprintPipeline", "SanaSprintImg2ImgPipeline", "SanaPipeline"], reason: reason),
            reason ?? "SanaSprintPipeline")
    }

    @Test func modelIndexIsBroken() throws {
        let path = file("model_index.json")
        try mini.write("{", "model_index.json")
        expect(.json(path: path, .syntax(offset: 1, expected: "a key in quotes", found: "the end of the text")), path)
        try mini.write("[]", "model_index.json")
        expect(.json(path: path, .field(subject: "model_index.json", expected: "an object", found: "an array")))
        try mini.write("{}", "model_index.json")
        expect(.json(path: path, .field(subject: "model_index.json: _class_name", expected: "a string", found: "nothing")))
        try mini.write(String(repeating: " ", count: 1 << 20) + "{}", "model_index.json")
        expect(.file(.tooLarge(path: path, limit: 1 << 20, found: 1 << 20 + 2)))
    }

    @Test(arguments: [
        (#""vae": ["diffusers", "AutoencoderKL"]"#, "vae", #"["diffusers","AutoencoderKL"]"#, ["AutoencoderDC"]),
        (#""vae": ["diffusers"]"#, "vae", #"["diffusers"]"#, ["AutoencoderDC"]),
        (#""vae": [null, "AutoencoderDC"]"#, "vae", #"[null,"AutoencoderDC"]"#, ["AutoencoderDC"]),
        (#""vae": []"#, "vae", "[]", ["AutoencoderDC"]),
        (#""image_encoder": ["transformers", "SiglipVisionModel"]"#, "image_encoder", #"["transformers","SiglipVisionModel"]"#, []),
        (#""text_encoder": ["transformers", "T5EncoderModel"]"#, "text_encoder", #"["transformers","T5EncoderModel"]"#, ["Gemma2Model", "Gemma2ForCausalLM"]),
    ]) func unsupportedComponent(member: String, component: String, found: String, supported: [String]) throws {
        try mini.write("{\"_class_name\": \"SanaSprintPipeline\", \(member)}", "model_index.json")
        expect(.unsupportedComponent(path: file("model_index.json"), component: component, found: found, supported: supported), found)
    }

    @Test func missingComponent() {
        mini.remove("vae")
        expect(.missingComponent(path: mini.path, component: "vae"), "[null, null]")
    }

    @Test func configuration() throws {
        mini.remove("vae/config.json")
        expect(.missingConfiguration(path: file("vae/config.json")))
        try mini.write("{\"a\":1,\"a\":1}", "vae/config.json")
        expect(.json(path: file("vae/config.json"), .duplicateKey("a", offset: 7)))
        try mini.write("{\"_class_name\": \"AutoencoderKL\"}", "vae/config.json")
        expect(.classMismatch(path: file("vae/config.json"), expected: ["AutoencoderDC"], found: "\"AutoencoderKL\""))
        try mini.write("{\"architectures\": [\"LlamaModel\"]}", "text_encoder/config.json")
        try mini.write("{\"_class_name\": \"AutoencoderDC\"}", "vae/config.json")
        expect(.classMismatch(path: file("text_encoder/config.json"), expected: ["Gemma2Model", "Gemma2ForCausalLM"], found: "\"LlamaModel\""))
    }

    @Test func missingTokenizer() throws {
        mini.remove("tokenizer/tokenizer.json")
        try mini.write("x", "tokenizer/tokenizer.model")
        expect(.missingTokenizer(path: file("tokenizer")), "save_pretrained")
    }

    @Test("a tokenizer may be large, a configuration may not") func sizes() throws {
        try mini.write("{\"v\":\"" + String(repeating: "x", count: 30 << 20) + "\"}", "tokenizer/tokenizer.json")
        #expect(try Checkpoint.open(mini.path).tokenizerJSON?.bytes.count == 30 << 20 + 8)
        guard unsafe truncate(file("tokenizer/tokenizer.json"), 64 << 20 + 1) == 0 else { throw FileError.exists(path: "truncate") }
        expect(.file(.tooLarge(path: file("tokenizer/tokenizer.json"), limit: 64 << 20, found: 64 << 20 + 1)))
    }

    @Test("five tokenizer files that are each small enough are too much together") func smallFilesTooLarge() throws {
        for name in ["tokenizer.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"] {
            try mini.write("", "tokenizer/\(name)")
            // Sparse: nothing is written.
            guard unsafe truncate(file("tokenizer/\(name)"), 60 << 20) == 0 else { throw FileError.exists(path: "truncate") }
        }
        expect(.smallFilesTooLarge(path: mini.path, limit: 256 << 20))
    }

    @Test func damagedWeights() throws {
        try mini.write("<html>", "vae/diffusion_pytorch_model.safetensors")
        expect(.safetensors(.looksLike(path: file("vae/diffusion_pytorch_model.safetensors"), .webPage)), "login page")
    }
}
