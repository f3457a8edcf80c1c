import Operations
import StrictJSON

/// The architecture of a SANA transformer, Sprint's or a teacher's: `transformer/config.json` of diffusers' SanaTransformer2DModel.
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
    /// Whether the network is told the guidance scale. SANA and the teachers of Sprint are not: guidance is the difference of two passes there.
    package let embedsGuidance: Bool
    package let guidanceScale: Double
    /// What the flow time in [0, 1] is multiplied by for the network.
    package let timeScale: Double
    /// How much closer positions lie in the table that is added to the patches; nil in models without one.
    let positionScale: Double?

    /// Channels of a token.
    package var width: Int { heads * headDimension }
    /// Channels of a token inside cross-attention.
    package var crossWidth: Int { crossHeads * crossHeadDimension }
    /// Inputs of the patch embedding and outputs of the last projection.
    var patchChannels: Int { patch * patch * channels }

    /// Where SanaPipeline's times end.
    private static let pipelineTimes = 1000.0

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: "transformer/config.json")
        try self.init(reader, className: "SanaTransformer2DModel", layers: 20, countsPipelineTimes: true)
    }

    /// What a transformer and the branch of a control network have in common.
    /// - Parameter countsPipelineTimes: whether one that is not told the guidance counts as SanaPipeline does.
    init(_ reader: ConfigurationReader, className: String, layers defaultLayers: Int, countsPipelineTimes: Bool = false) throws(InferenceError) {
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
        positionScale = reader.has("interpolation_scale") ? try reader.double("interpolation_scale", in: 1e-3...1e3, default: 1) : nil
        guard positionScale == nil || width % 4 == 0 else {
            throw .inconsistent(
                subject: "\(file): interpolation_scale", expected: "a width that is a multiple of 4, for sines and cosines of two axes", found: "\(width)")
        }
        embedsGuidance = try reader.bool("guidance_embeds", default: false)
        if embedsGuidance || !countsPipelineTimes {
            timeScale = 1
            try reader.mustBe("timestep_scale", 1, why: "1.0, the only value SanaSprintPipeline computes with")
        } else {
            // SanaPipeline's schedulers count times to 1000, whatever the number of times a model was trained on.
            timeScale = Self.pipelineTimes * (try reader.double("timestep_scale", in: 1e-6...1e6, default: 1))
        }
        try reader.mustBe("norm_elementwise_affine", false, why: "false")
    }
}
