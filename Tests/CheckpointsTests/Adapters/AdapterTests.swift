import Files
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

/// Adapters against a checkpoint: what lands where, with which factor, and everything that is refused.
@Suite struct AdapterTests {
    private let folder: TemporaryFolder
    private let mini: Checkpoint
    /// The fixture's width, and a query projection of it.
    private let width = 96
    private let query = "transformer_blocks.1.attn1.to_q"

    init() throws {
        folder = try TemporaryFolder()
        mini = try Checkpoint.open(Fixtures.path("mini"))
    }

    private func adapted(_ tensors: [FileTensor], metadata: [String: String] = [:], weight: Double = 1, name: String = "x.safetensors") throws -> Checkpoint {
        try mini.adapted(by: [AdapterSource(path: try folder.put(tensors, name, metadata: metadata), weight: weight)])
    }

    private func additions(_ checkpoint: Checkpoint, _ tensor: String, in component: String = "transformer") throws -> [Adaptation] {
        try #require(checkpoint.components[component]?.adaptations[ExactString(tensor)])
    }

    private func pair(_ module: String, rank: Int = 2, outputs: Int? = nil, inputs: Int? = nil) -> [FileTensor] {
        FileTensor.pair(module, rank: rank, outputs: outputs ?? width, inputs: inputs ?? width)
    }

    // MARK: What lands where

    @Test(
        "a module by all its names",
        arguments: [
            "transformer.transformer_blocks.1.attn1.to_q", "transformer_blocks.1.attn1.to_q", "base_model.model.transformer_blocks.1.attn1.to_q",
            "base_model.model.transformer.transformer_blocks.1.attn1.to_q", "unet.transformer_blocks.1.attn1.to_q",
            "_orig_mod.transformer_blocks.1.attn1.to_q", "lora_unet_transformer_blocks_1_attn1_to_q", "lora_transformer_transformer_blocks_1_attn1_to_q",
            "lycoris_transformer_blocks_1_attn1_to_q", "transformer_blocks.1.attn1.processor.to_q",
        ])
    func spellings(module: String) throws {
        let found = try additions(try adapted(pair(module)), "\(query).weight")
        #expect(found.map(\.factor) == [1])
        #expect(found[0].up.name == "lora/1/\(query).lora_B.weight" && found[0].down?.name == "lora/1/\(query).lora_A.weight")
    }

    @Test(
        "names of NVlabs and of the text encoder",
        arguments: [
            ("blocks.1.attn.proj", "transformer_blocks.1.attn1.to_out.0"), ("diffusion_model.blocks.1.cross_attn.q_linear", "transformer_blocks.1.attn2.to_q"),
            ("lora_unet_blocks_1_attn_proj", "transformer_blocks.1.attn1.to_out.0"),
            ("transformer_blocks.1.attn1.processor.to_out", "transformer_blocks.1.attn1.to_out.0"),
        ])
    func original(module: String, target: String) throws { _ = try additions(try adapted(pair(module)), "\(target).weight") }

    @Test(arguments: [
        "text_encoder.layers.0.mlp.up_proj", "text_encoder.model.layers.0.mlp.up_proj", "lora_te_layers_0_mlp_up_proj", "lora_te1_model_layers_0_mlp_up_proj",
    ])
    func textEncoder(module: String) throws {
        let shape = try #require(mini.components["text_encoder"]?.entry("layers.0.mlp.up_proj.weight")?.shape)
        let checkpoint = try adapted(pair(module, outputs: shape.rows, inputs: shape.columns))
        _ = try additions(checkpoint, "layers.0.mlp.up_proj.weight", in: "text_encoder")
        #expect(checkpoint.adapters.map(\.components) == [["text_encoder"]])
    }

    @Test("rows of a fused module are told apart") func fused() throws {
        let tensors = pair("blocks.1.attn.qkv", outputs: 3 * width)
        let checkpoint = try adapted(tensors)
        let component = try #require(checkpoint.components["transformer"])
        for (part, name) in ["q", "k", "v"].enumerated() {
            let found = try additions(checkpoint, "transformer_blocks.1.attn1.to_\(name).weight")
            let up = try component.read(found[0].up.name).widened().elements
            #expect(up == Array(tensors[1].values[part * width * 2..<(part + 1) * width * 2]))
            let down = try #require(found[0].down)
            #expect(try component.read(down.name).widened().elements == tensors[0].values)
        }
        #expect(mini.components["transformer"]?.adaptations.isEmpty == true)
    }

    @Test("convolutions, biases and magnitudes") func parts() throws {
        let module = "transformer_blocks.0.ff.conv_inverted"
        let shape = try #require(mini.components["transformer"]?.entry("\(module).weight")?.shape)
        let checkpoint = try adapted([
            FileTensor("\(module).lora_A.weight", [3, width, 1, 1]), FileTensor("\(module).lora_B.weight", [shape.rows, 3, 1, 1]),
            FileTensor("\(module).lora_B.bias", [shape.rows]), FileTensor("\(module).lora_magnitude_vector", [1, shape.rows, 1, 1]),
        ])
        let weight = try additions(checkpoint, "\(module).weight")
        #expect(weight[0].magnitude?.shape == [shape.rows])
        let bias = try additions(checkpoint, "\(module).bias")
        #expect(bias[0].down == nil && bias[0].up.shape == [shape.rows])
    }

    @Test("a file of torch, and PEFT's folder") func containers() throws {
        let archive = TorchArchive([
            (
                "",
                [
                    TorchArchive.Weight("\(query).lora_A.weight", .f32, [1, width], [UInt8](repeating: 0, count: 4 * width)),
                    TorchArchive.Weight("\(query).lora_B.weight", .f32, [width, 1], [UInt8](repeating: 0, count: 4 * width)),
                ]
            )
        ])
        let path = try folder.put(archive.bytes, "adapter_model.bin")
        try folder.put(Array(#"{"peft_type": "LORA", "r": 1, "lora_alpha": 7}"#.utf8), "adapter_config.json")
        for path in [path, folder.path] {
            let checkpoint = try mini.adapted(by: [AdapterSource(path: path, weight: 0.5)])
            #expect(try additions(checkpoint, "\(query).weight")[0].factor == 3.5)
            let files = try checkpoint.adapterFiles()
            #expect(files.map(\.path) == ["lora/1/adapter_model.bin", "lora/1/adapter_config.json"] && files.map(\.weight) == [0.5, nil])
            #expect(try files[0].sha256 == InputFile(path: folder.file("adapter_model.bin")).sha256())
        }
    }

    // MARK: Factors

    /// The factor that a LoRA of rank 2 gets.
    private func factor(alpha: Float? = nil, metadata: [String: String] = [:], weight: Double = 1) throws -> Double {
        let alpha = alpha.map { [FileTensor("transformer.\(query).alpha", [], [$0])] } ?? []
        return try additions(try adapted(pair("transformer.\(query)") + alpha, metadata: metadata, weight: weight), "\(query).weight")[0].factor
    }

    private func settings(_ text: String) -> [String: String] { ["lora_adapter_metadata": text] }

    @Test("alpha wherever it is kept") func alphas() throws {
        #expect(try factor() == 1)
        #expect(try factor(alpha: 3) == 1.5)
        #expect(try factor(alpha: 3, metadata: ["ss_network_alpha": "16"]) == 1.5)
        #expect(try factor(metadata: ["ss_network_alpha": "16"]) == 8)
        #expect(try factor(metadata: ["lora_alpha": "1"], weight: -0.5) == -0.25)
        #expect(try factor(metadata: settings(#"{"transformer.r": 2, "transformer.lora_alpha": 8}"#)) == 4)
        #expect(try factor(metadata: settings(#"{"r": 2, "lora_alpha": 8, "use_rslora": true}"#)) == 8 / 2.0.squareRoot())
        #expect(try factor(metadata: settings(#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"attn1.to_q": 2}, "alpha_pattern": {"to_q": 6}}"#)) == 3)
        #expect(try factor(metadata: settings(#"{"r": 2, "lora_alpha": 8, "alpha_pattern": {"^to_q": 6, "^transformer_blocks.1.attn1.to_q": 5}}"#)) == 2.5)
        // Those of another model say nothing.
        #expect(try factor(metadata: settings(#"{"text_encoder.r": 9, "text_encoder.lora_alpha": 8}"#)) == 1)
    }

    // MARK: What is refused

    /// A file, its header, and the words that it is refused with.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let words: [String]
        let tensors: @Sendable () -> [FileTensor]
        var metadata: [String: String] = [:]
        var testDescription: String { words.joined(separator: ", ") }

        init(_ words: String..., metadata: [String: String] = [:], tensors: @escaping @Sendable () -> [FileTensor] = { Self.pair(Self.q) }) {
            (self.words, self.metadata, self.tensors) = (words, metadata, tensors)
        }

        init(settings: String, _ words: String...) {
            (self.words, tensors, metadata) = (words, { Self.pair(Self.q) }, ["lora_adapter_metadata": settings])
        }

        static let q = "transformer_blocks.1.attn1.to_q"
        static func pair(_ module: String, rank: Int = 2, outputs: Int = 96, inputs: Int = 96) -> [FileTensor] {
            FileTensor.pair(module, rank: rank, outputs: outputs, inputs: inputs)
        }
    }

    static let refusals: [Refusal] = [
        Refusal("\"transformer_blocks.7.attn1.to_q.lora_A.weight\"", "nothing in the checkpoint takes it", "nearest: transformer_blocks.") {
            Refusal.pair("transformer_blocks.7.attn1.to_q")
        },
        Refusal("\"lora_unet_transformer_blocks_1_attn9_to_q.lora_A.weight\"", "nearest: transformer_blocks_1_attn") {
            Refusal.pair("lora_unet_transformer_blocks_1_attn9_to_q")
        },
        // The text encoder has no such module, whatever the transformer has.
        Refusal("\"text_encoder.transformer_blocks.1.attn1.to_q.lora_A.weight\"") { Refusal.pair("text_encoder.transformer_blocks.1.attn1.to_q") },
        Refusal("\"\(Refusal.q).lora_A.weight\"", "expected the shape [rank, 96]", "found [2, 128]", "another model or width") {
            Refusal.pair(Refusal.q, inputs: 128)
        },
        Refusal("\"\(Refusal.q).lora_B.weight\"", "expected the shape [96, 2]", "found [128, 2]") { Refusal.pair(Refusal.q, outputs: 128) },
        Refusal("to_q.lora_A.weight", "both matrices") { [Refusal.pair(Refusal.q)[0]] },
        Refusal("\"\(Refusal.q).alpha\"", "both matrices") { [FileTensor("\(Refusal.q).alpha", [], [1])] + Refusal.pair("proj_out", outputs: 32) },
        Refusal("proj_out.weight\"", "expected a part of a LoRA") { Refusal.pair(Refusal.q) + [FileTensor("proj_out.weight", [1])] },
        Refusal("lokr_w1", "found LoKr") { [FileTensor("lora_unet_a.lokr_w1", [1])] },
        Refusal("hada_w1_a", "found LoHa") { Refusal.pair(Refusal.q) + [FileTensor("lora_unet_a.hada_w1_a", [1])] },
        Refusal("to_q.lora_A.weight", "found I8") { Refusal.pair(Refusal.q).map { FileTensor($0.name, $0.shape, dtype: .i8) } },
        Refusal("conv_depth.lora_A.weight", "depthwise") {
            [
                FileTensor("transformer_blocks.0.ff.conv_depth.lora_A.weight", [2, 480, 3, 3]),
                FileTensor("transformer_blocks.0.ff.conv_depth.lora_B.weight", [1, 2, 1, 1]),
            ]
        },
        Refusal("dora_scale", "one for each input") { Refusal.pair(Refusal.q) + [FileTensor("\(Refusal.q).dora_scale", [1, 96])] },
        Refusal("lora_magnitude_vector", "[96]", "found [95]") { Refusal.pair(Refusal.q) + [FileTensor("\(Refusal.q).lora_magnitude_vector", [95])] },
        Refusal("to_q.lora_B.bias", "has none") { Refusal.pair(Refusal.q) + [FileTensor("\(Refusal.q).lora_B.bias", [96])] },
        Refusal("to_q.alpha", "one finite number") { Refusal.pair(Refusal.q) + [FileTensor("\(Refusal.q).alpha", [], [.nan])] },
        Refusal("to_q.alpha", "one finite number") { Refusal.pair(Refusal.q) + [FileTensor("\(Refusal.q).alpha", [2])] },
        Refusal("header: ss_network_alpha", "one finite number", metadata: ["ss_network_alpha": "None"]),
        Refusal("expected it once", "\"blocks.1.attn.qkv.lora_B.weight\"") { Refusal.pair(Refusal.q) + Refusal.pair("blocks.1.attn.qkv", outputs: 288) },
        Refusal("the tensors of a LoRA, found none") { [] },
        Refusal("nothing in the checkpoint takes it") { Refusal.pair("norm_out") },
        Refusal(settings: #"{"r": 4}"#, "r or rank_pattern", "the rank 4", "found 2"),
        Refusal(settings: #"{"use_dora": true}"#, "use_dora", "magnitudes beside it"),
        Refusal(settings: #"{"lora_bias": true}"#, "lora_bias", "a bias beside it"),
        Refusal(settings: #"{"peft_type": "LOHA"}"#, "peft_type", "LOHA"),
        Refusal(settings: #"{"init_lora_weights": "pissa_niter_4"}"#, "init_lora_weights", "changes the base"),
        Refusal(settings: #"{"use_qalora": true}"#, "use_qalora", "not known here"),
        Refusal(settings: #"{"rank_pattern": {"to_(q|k)": 2}}"#, "rank_pattern", "regular expressions"),
        Refusal(settings: #"{"r": "2"}"#, "lora_adapter_metadata: r", "an integer"),
        Refusal(settings: #"{"r": 2"#, "JSON"),
        Refusal(settings: #"[]"#, "expected an object"),
    ]

    @Test("each with its words", arguments: refusals) func refused(_ refusal: Refusal) throws {
        let path = try folder.put(refusal.tensors(), "x.safetensors", metadata: refusal.metadata)
        let error = #expect(throws: CheckpointError.self) { try mini.adapted(by: [AdapterSource(path: path)]) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains(path), "\(text)")
        for words in refusal.words { #expect(text.contains(words), "\(text)") }
    }

    @Test("an alpha that is told twice must be one") func twoAlphas() throws {
        let error = #expect(throws: CheckpointError.self) { try factor(alpha: 3, metadata: settings(#"{"r": 2, "lora_alpha": 8}"#)) }
        let text = "\(try #require(error))"
        #expect(text.contains("expected 8.0"))
        #expect(try factor(alpha: 8, metadata: settings(#"{"r": 2, "lora_alpha": 8}"#)) == 4)
    }

    @Test("no file of an adapter") func otherFiles() throws {
        let path = try folder.put(pair(query), "a.safetensors")
        for (word, words) in [
            (folder.path, "or a folder with adapter_model.safetensors"),
            ("\(path)=heavy", "expected a number behind the =, the weight of the adapter, found \"heavy\""),
            (folder.file("none.safetensors"), "No such file"), (Fixtures.path("mini/model_index.json"), "found neither"),
            (Fixtures.path("torch/legacy.pth"), "save it again"),
        ] {
            let error = #expect(throws: CheckpointError.self) { try mini.adapted(by: [AdapterSource(path: word)]) }
            let text = "\(try #require(error))"
            #expect(text.contains(words), "\(text)")
        }
    }

    @Test("all problems are told at once, the first twenty") func many() throws {
        let error = #expect(throws: CheckpointError.self) { try adapted((0..<30).flatMap { pair("transformer_blocks.\($0 + 10).attn1.to_q") }) }
        let text = "\(try #require(error))"
        #expect(text.contains("transformer_blocks.10.") && text.contains("and 10 more"))
    }

    @Test("what an adapter is, without a checkpoint") func summary() throws {
        let path = try folder.put(
            pair("transformer.\(query)") + pair("transformer.transformer_blocks.2.attn1.to_q", rank: 5) + [FileTensor("transformer.\(query).hada_w1_a", [1])],
            "x.safetensors")
        let file = try AdapterFile.open(path)
        #expect(file.summary == "LoRA, rank 2 to 5, 2 modules" && file.alphaText == "none: the rank")
        #expect(file.targets.map(\.name) == ["transformer.transformer_blocks.N.attn1.to_q"] && file.targets[0].count == 2)
        #expect(file.problems == [.otherKind(tensor: "transformer.\(query).hada_w1_a", kind: "LoHa")])
    }
}
