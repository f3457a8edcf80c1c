import Testing

@testable import Checkpoints

@Suite struct AdapterNamesTests {
    @Test(
        "names of all programs",
        arguments: [
            ("transformer.proj_out.lora_A.weight", .down, "transformer.proj_out"), ("a.b.lora_B.default.weight", .up, "a.b"),
            ("a.lora_B.bias", .upBias, "a"), ("a.b.lora_magnitude_vector", .magnitude, "a.b"), ("a.lora_magnitude_vector.weight", .magnitude, "a"),
            ("a.lora_magnitude_vector.default.weight", .magnitude, "a"), ("lora_unet_a_b.lora_down.weight", .down, "lora_unet_a_b"),
            ("lora_unet_a_b.lora_up.weight", .up, "lora_unet_a_b"), ("lora_unet_a_b.alpha", .alpha, "lora_unet_a_b"),
            ("a.dora_scale", .doraScale, "a"), ("a.lora.down.weight", .down, "a"), ("a.processor.to_q_lora.up.weight", .up, "a.processor.to_q"),
            ("a.lora_linear_layer.up.weight", .up, "a"),
        ] as [(String, AdapterNames.Part, String)])
    func parts(name: String, part: AdapterNames.Part, module: String) { #expect(AdapterNames.meaning(of: name) == .part(part, module: module)) }

    @Test(
        "other kinds have a name",
        arguments: [
            ("a.hada_w1_a", "LoHa"), ("a.lokr_w2", "LoKr"), ("a.oft_blocks", "OFT"), ("a.oft_R.weight", "OFT"), ("a.ia3_l", "IA3"), ("a.on_input", "IA3"),
            ("a.lora_mid.weight", "core in the middle"), ("a.lora_embedding_A", "of an embedding"), ("a.lora_E", "AdaLoRA"), ("a.vera_lambda_b", "VeRA"),
            ("a.diff", "full difference"), ("a.diff_b", "full difference"), ("a.w_norm", "norms"), ("bundle_emb.cat.gemma", "new word"),
            ("a.boft_R", "BOFT"), ("a.shira_weight", "SHiRA"),
        ])
    func otherKinds(name: String, kind: String) {
        guard case .other(let found) = AdapterNames.meaning(of: name) else {
            Issue.record("no kind: \(name)")
            return
        }
        #expect(found.contains(kind))
    }

    @Test("no adapter's", arguments: ["a.weight", "lora_A.weight", ".alpha", "a.lora_A.b.c.weight", "a.lora_A.bias", "a.lora_A", "scale_shift_table"])
    func others(name: String) { #expect(AdapterNames.meaning(of: name) == nil) }

    @Test(
        "a weight is what is a number behind the last =",
        arguments: [
            ("a", "a", 1), ("a=0.7", "a", 0.7), ("a=-1.2", "a", -1.2), ("a=b.safetensors", "a=b.safetensors", 1), ("a=2=1", "a=2", 1), ("a=b=0.5", "a=b", 0.5),
            ("a=1e-1", "a", 0.1), ("a=0", "a", 0),
        ] as [(String, String, Double)])
    func words(word: String, path: String, weight: Double) throws {
        let source = try #require(AdapterSource(word))
        #expect(source == AdapterSource(path: path, weight: weight))
        #expect(AdapterSource(source.text) == source)
    }

    @Test(arguments: ["a=", "a=nan", "a=inf", "a=-infinity", "=0.7"]) func noWeights(word: String) { #expect(AdapterSource(word) == nil) }
}
