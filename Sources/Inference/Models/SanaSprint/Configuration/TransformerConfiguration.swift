import Operations
import StrictJSON

/// The architecture of a SANA-Sprint transformer: `transformer/config.json` of diffusers' SanaTransformer2DModel.
///
/// Absent members take that class's defaults.
package struct TransformerConfiguration: Sendable, Equatable {
    package let layers: Int
    /// Heads of the linear self-attention and their width.
    package let heads: Int
    package let headDimension: Int
    /// Heads of the softmax cross-attention and their width.
    package let crossHeads: Int
    package let crossHeadDimension: Int
    /// Channels of the latents, in and out.
    package let channels: Int
    package let captionChannels: Int
    /// Channels of the gated half of the mix-FFN: int(mlp_ratio * width).
    package let hidden: Int
    package let patch: Int
    /// Side of the square latents that the model was trained on: the default picture size.
    package let sampleSize: Int
    package let attentionBias: Bool
    /// Whether q and k go through an RMS norm over all heads ("rms_norm_across_heads").
    package let queryKeyNorm: Bool
    package let normEpsilon: Double
    package let guidanceScale: Double

    /// Channels of a token.
    package var width: Int { heads * headDimension }
    /// Channels of a token inside cross-attention.
    package var crossWidth: Int { crossHeads * crossHeadDimension }
    /// Inputs of the patch embedding and outputs of the last projection.
    var patchChannels: Int { patch * patch * channels }

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: "transformer/config.json")
        try self.init(reader, className: "SanaTransformer2DModel", layers: 20)
        guard try reader.bool("guidance_embeds", default: false) else {
            throw .unsupported(
                subject: "transformer/config.json: guidance_embeds", found: "false",
                supported: "true; a model without guidance embedding is SANA or SANA-1.5, which needs another sampler and two forward passes per step")
        }
    }

    /// What a transformer and the branch of a control network have in common.
    init(_ reader: ConfigurationReader, className: String, layers defaultLayers: Int) throws(InferenceError) {
        let file = reader.subject
        try reader.choice("_class_name", [(className, ())], default: className)
        layers = try reader.int("num_layers", in: 1...1024, default: defaultLayers)
        heads = try reader.int("num_attention_heads", in: 1...4096, default: 70)
        headDimension = try reader.int("attention_head_dim", in: 1...LinearAttention.maximumHeadDimension, default: 32)
        crossHeads = try reader.int("num_cross_attention_heads", in: 1...4096, default: 20)
        crossHeadDimension = try reader.int("cross_attention_head_dim", in: 1...4096, default: 112)
        captionChannels = try reader.int("caption_channels", in: 1...65_536, default: 2304)
        channels = try reader.int("in_channels", in: 1...4096, default: 32)
        patch = try reader.int("patch_size", in: 1...64, default: 1)
        sampleSize = try reader.int("sample_size", in: 1...4096, default: 32)
        attentionBias = try reader.bool("attention_bias", default: false)
        normEpsilon = try reader.double("norm_eps", in: 0...1, default: 1e-6)
        guidanceScale = try reader.double("guidance_embeds_scale", in: -1e6...1e6, default: 0.1)
        queryKeyNorm = reader.has("qk_norm") ? try reader.choice("qk_norm", [("rms_norm_across_heads", true)], default: "") : false

        let width = heads * headDimension
        guard width <= 65_536 else {
            throw .inconsistent(subject: "\(file): num_attention_heads x attention_head_dim", expected: "at most 65536", found: "\(width)")
        }
        let ratio = try reader.double("mlp_ratio", in: 0.01...64, default: 2.5)
        hidden = Int(ratio * Double(width))
        guard (1...65_536).contains(hidden) else {
            throw .inconsistent(subject: "\(file): mlp_ratio", expected: "1 to 65536 hidden channels", found: "\(hidden)")
        }

        // The captions reach cross-attention at the transformer's width, whatever this member says; diffusers fails when they differ.
        let crossInput = try reader.int("cross_attention_dim", in: 1...65_536, default: 2240)
        guard crossInput == width else {
            throw .inconsistent(subject: "\(file): cross_attention_dim", expected: "the width \(width)", found: "\(crossInput)")
        }
        let outputs = try reader.int("out_channels", in: 1...4096, default: channels)
        guard outputs == channels else {
            throw .inconsistent(subject: "\(file): out_channels", expected: "in_channels, \(channels)", found: "\(outputs)")
        }
        try reader.mustBe("interpolation_scale", .null, why: "null (models with a table of positions are SANA 2K and 4K, not SANA-Sprint)")
        try reader.mustBe("norm_elementwise_affine", false, why: "false")
        try reader.mustBe("timestep_scale", 1, why: "1.0, the only value SanaSprintPipeline computes with")
    }
}
