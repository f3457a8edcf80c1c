import StrictJSON
import TestKit
import Testing

@testable import Inference

/// What configurations may say, and what is refused with the list of what is supported.
@Suite struct ConfigurationTests {
    /// A member of tiny-sprint's configuration, changed, and words that the error must contain.
    struct Change: Sendable, CustomTestStringConvertible {
        let file: String
        let key: String
        let value: JSONValue
        let words: [String]
        var testDescription: String { "\(file) \(key) = \(value.text)" }
        init(_ file: String, _ key: String, _ value: JSONValue, _ words: String...) {
            (self.file, self.key, self.value, self.words) = (file, key, value, words)
        }
    }

    private static func read(_ change: Change? = nil) throws -> SanaSprintConfiguration {
        func json(_ name: String) throws -> JSONValue {
            let value = try FixtureConfiguration.json(Fixtures.path("tiny-sprint"), name)
            guard let change, change.file == name, var object = value.object else { return value }
            object[change.key] = change.value
            return .object(object)
        }
        return try SanaSprintConfiguration(
            Dictionary(uniqueKeysWithValues: SanaSprintConfiguration.folders(of: Component.allCases.filter { $0 != .controlnet }).map { ($0, try json($0)) }))
    }

    @Test(arguments: [
        Change("transformer", "_class_name", "FluxTransformer2DModel", "\"SanaTransformer2DModel\""),
        Change("transformer", "qk_norm", "layer_norm", "qk_norm", "\"rms_norm_across_heads\""),
        Change("transformer", "interpolation_scale", .number(0), "interpolation_scale", "0.001"),
        Change("transformer", "timestep_scale", .number(0.001), "timestep_scale", "1.0"),
        Change("transformer", "norm_elementwise_affine", true, "norm_elementwise_affine", "false"),
        Change("transformer", "cross_attention_dim", 160, "cross_attention_dim", "192"),
        Change("transformer", "num_layers", 0, "num_layers", "1 to 1024"),
        Change("transformer", "num_layers", "five", "num_layers", "an integer"),
        Change("transformer", "attention_head_dim", 1024, "attention_head_dim", "1 to 128"),
        Change("transformer", "mlp_ratio", .number(1e300), "mlp_ratio"),
        Change("transformer", "out_channels", 32, "out_channels", "16"),
        Change("transformer", "in_channels", 8, "in_channels"),
        Change("transformer", "caption_channels", 64, "caption_channels", "hidden_size, 128"),
        Change("vae", "downsample_block_type", "max_pool", "\"pixel_unshuffle\"", "\"Conv\"", "\"conv\""),
        Change("vae", "upsample_block_type", "deconv", "\"pixel_shuffle\"", "\"interpolate\""),
        Change("vae", "decoder_norm_types", "batch_norm", "\"rms_norm\""),
        Change("vae", "decoder_norm_types", ["rms_norm", "rms_norm"], "5 entries", "2"),
        Change("vae", "decoder_act_fns", "mish", "\"silu\""),
        Change("vae", "decoder_block_types", "LinearBlock", "\"ResBlock\"", "\"EfficientViTBlock\""),
        Change("vae", "decoder_layers_per_block", [1, 0, 1, 1, 2], "stage 1"),
        Change("vae", "decoder_layers_per_block", [1, 1], "5 entries", "2"),
        Change("vae", "decoder_qkv_multiscales", [[], [], [], [4], [5]], "kernel size 4", "odd"),
        Change("vae", "encoder_block_out_channels", [16, 32, 64, 60, 128], "encoder_block_out_channels"),
        Change("vae", "scaling_factor", .number(0), "scaling_factor"),
        Change("text_encoder", "model_type", "gemma3", "\"gemma2\""),
        Change("text_encoder", "hidden_activation", "gelu", "\"gelu_pytorch_tanh\""),
        Change("text_encoder", "num_key_value_heads", 3, "num_key_value_heads", "divisor of 4"),
        Change("text_encoder", "head_dim", 31, "head_dim", "even"),
        Change("text_encoder", "layer_types", ["chunked_attention", "full_attention", "full_attention"], "\"sliding_attention\"", "\"full_attention\""),
        Change("text_encoder", "rope_parameters", ["rope_type": "yarn"], "\"default\""),
        Change("text_encoder", "use_bidirectional_attention", true, "use_bidirectional_attention"),
        Change("scheduler", "_class_name", "EulerDiscreteScheduler", "\"SCMScheduler\"", "\"FlowMatchEulerDiscreteScheduler\""),
        Change("scheduler", "prediction_type", "epsilon", "\"trigflow\""),
    ]) func aValueOutsideTheFamilyIsRefused(_ change: Change) {
        let error = #expect(throws: InferenceError.self) { try Self.read(change) }
        let message = error.map { "\($0)" } ?? ""
        for word in change.words { #expect(message.contains(word), "\(message)") }
        #expect(message.contains(change.key) || message.contains("_class_name"), "\(message)")
    }

    @Test func absentMembersTakeTheClassesDefaults() throws {
        let transformer = try TransformerConfiguration(["guidance_embeds": true])
        #expect(transformer.layers == 20 && transformer.width == 2240 && transformer.crossWidth == 2240 && transformer.hidden == 5600)
        #expect(transformer.captionChannels == 2304 && transformer.channels == 32 && transformer.patch == 1 && !transformer.queryKeyNorm)
        let autoencoder = try AutoencoderConfiguration([:])
        #expect(autoencoder.compression == 32 && autoencoder.latentChannels == 32 && autoencoder.unshuffles && !autoencoder.interpolates)
        #expect(autoencoder.decoder.stages.map(\.channels) == [128, 256, 512, 512, 1024, 1024] && autoencoder.scalingFactor == 1)
        let text = try TextEncoderConfiguration([:])
        #expect(text.layers == 26 && text.width == 2304 && text.queryWidth == 2048 && text.keyValueWidth == 1024 && text.softCap == 50)
        #expect(text.windows[0] == 4096 && text.windows[1] == nil && text.ropeTheta == 10_000 && text.attentionScale == 1.0 / 16)
    }

    @Test func nullSwitchesOff() throws {
        #expect(try TextEncoderConfiguration(["attn_logit_softcapping": .null]).softCap == nil)
        #expect(try TextEncoderConfiguration(["sliding_window": .null]).windows.allSatisfy { $0 == nil })
        #expect(try TransformerConfiguration(["guidance_embeds": true, "qk_norm": .null]).queryKeyNorm == false)
    }

    @Test func ropeThetaIsFoundAtBothPlaces() throws {
        #expect(try TextEncoderConfiguration(["rope_theta": 5000]).ropeTheta == 5000)
        #expect(try TextEncoderConfiguration(["rope_theta": 5000, "rope_parameters": ["rope_type": "default", "rope_theta": 7000]]).ropeTheta == 7000)
    }

    @Test(arguments: ["Conv", "conv"]) func bothSpellingsOfStridedConvolutions(_ spelling: String) throws {
        #expect(try AutoencoderConfiguration(["downsample_block_type": .string(spelling)]).unshuffles == false)
    }
}
