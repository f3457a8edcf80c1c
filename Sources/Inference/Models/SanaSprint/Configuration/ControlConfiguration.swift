package import StrictJSON

/// The architecture of a control network: `controlnet/config.json` of diffusers' SanaControlNetModel, with `qk_norm` and `guidance_embeds` as a
/// transformer has them, and two members that diffusers lacks.
package struct ControlConfiguration: Sendable, Equatable {
    /// Of the branch, whose layers are copies of the base's first ones.
    package let branch: TransformerConfiguration
    package let wiring: Wiring
    /// Whether patches, time and prompt are embedded by networks of its own; else by the base's.
    package let hasEmbedders: Bool
    /// Whether its own networks are told the guidance.
    let embedsGuidance: Bool

    /// How it is joined to its base.
    package enum Wiring: String, Sendable {
        /// The branch sets out from what block 0 gives, and residual j is added to what block j + 1 takes.
        case nvlabs
        /// The branch sets out from the patches, and residual j is added to what block j + 1 gives.
        case diffusers
    }

    private static let file = "controlnet/config.json"

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: Self.file)
        branch = try TransformerConfiguration(reader, className: "SanaControlNetModel", layers: 7)
        wiring = try reader.choice("control_wiring", [("nvlabs", Wiring.nvlabs), ("diffusers", .diffusers)], default: "diffusers")
        hasEmbedders = try reader.choice("control_embedders", [("own", true), ("base", false)], default: "own")
        embedsGuidance = try reader.bool("guidance_embeds", default: false)
    }

    /// Refuses a base that the branch was not copied from.
    func check(against base: TransformerConfiguration) throws(InferenceError) {
        guard branch.layers < base.layers else {
            throw .inconsistent(subject: "\(Self.file): num_layers", expected: "fewer than the transformer's \(base.layers)", found: "\(branch.layers)")
        }
        for (name, own, other) in [
            ("num_attention_heads x attention_head_dim", branch.width, base.width), ("in_channels", branch.channels, base.channels),
            ("patch_size", branch.patch, base.patch), ("caption_channels", branch.captionChannels, base.captionChannels),
        ] where own != other {
            throw .inconsistent(subject: "\(Self.file): \(name)", expected: "the transformer's, \(other)", found: "\(own)")
        }
    }
}
