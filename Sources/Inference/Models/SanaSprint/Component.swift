/// The parts a file is made of, in the words of the command line and in the order in which a file has them.
///
/// What selection, planning, policy, checks and export ask about a part is in its definition. To add one: a case with its definition here; its
/// folder in `PipelineFamily`, if a checkpoint has it in a folder of its own; its configuration in `SanaSprintConfiguration` and its rows in
/// `Tables`; its model, and where a run or a certificate walk uses it.
package enum Component: String, Sendable, CaseIterable {
    case transformer
    case controlnet
    case vaeDecoder = "vae-decoder"
    case vaeEncoder = "vae-encoder"
    case textEncoder = "text-encoder"
    case tokenizer
    case prefixCache = "prefix-cache"
    case certificate
    case quality

    /// What is so about one component and not about all.
    package struct Definition: Sendable {
        /// The folder of a diffusers checkpoint that holds it; nil for what is computed from the file's content, which attachments are not part of.
        var folder: String?
        /// Whether a file gets it without being asked.
        package var isStandard = true
        /// What makes it standard where that is packed.
        package var isStandardBeside: Component?
        /// For attachments: what has to be packed too, all of it or any one of it.
        package var needs = Needs.nothing
        /// Whether what the preset int8 leaves in 16 bits is float16 here; else it is of the sources' own type, or bfloat16.
        package var keepsFloat16 = false
        /// A weight that every configuration of it has; nil for what has no weights.
        var marker: String?
        /// The rows of its weights, in the order in which the model uses them; empty where the configuration lacks it.
        var rows: @Sendable (SanaSprintConfiguration, Fusions, FrozenSchedule?) -> [WeightRow] = { _, _, _ in [] }
    }

    package enum Needs: Sendable {
        case nothing
        case all([Component])
        case any([Component])
    }

    package var definition: Definition {
        switch self {
        case .transformer: Definition(folder: "transformer", marker: "dit.patch.weight", rows: { TransformerRows($0.transformer, $1, $2).rows })
        case .controlnet:
            Definition(
                folder: "controlnet", marker: "control.input.weight", rows: { model, fusions, _ in model.control.map { ControlRows($0, fusions).rows } ?? [] })
        case .vaeDecoder:
            Definition(
                folder: "vae", keepsFloat16: true, marker: "vae.dec.conv_in.weight",
                rows: { model, fusions, _ in model.vae.map { AutoencoderRows(decoder: $0, fusions).rows } ?? [] })
        // It does not draw: it is packed on request only, or where it reads what a control network follows.
        case .vaeEncoder:
            Definition(
                folder: "vae", isStandard: false, isStandardBeside: .controlnet, keepsFloat16: true, marker: "vae.enc.conv_in.weight",
                rows: { model, fusions, _ in model.vae.map { AutoencoderRows(encoder: $0, fusions).rows } ?? [] })
        case .textEncoder:
            Definition(
                folder: "text_encoder", marker: "text.embed.weight", rows: { model, fusions, _ in model.text.map { TextEncoderRows($0, fusions).rows } ?? [] })
        case .tokenizer: Definition(folder: "tokenizer")
        case .prefixCache: Definition(needs: .all([.textEncoder, .tokenizer]))
        case .certificate: Definition(needs: .any([.transformer, .vaeDecoder, .vaeEncoder, .textEncoder]))
        case .quality: Definition(needs: .all([.transformer]))
        }
    }

    package var folder: String? { definition.folder }
    package var isAttachment: Bool { folder == nil }
    package var hasWeights: Bool { definition.marker != nil }
}
