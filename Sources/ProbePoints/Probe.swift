/// A probe point: a value that a run of the model passes, and its name in traces (Formats/trace.md) and certificates (Formats/certificate.md).
///
/// Models emit it, comparisons parse it: the one place that knows the names, their order and which rows of a value count.
package struct Probe: Hashable, Sendable {
    /// What is looked at, in the order of the data. Names have the sampler's step for `#` and the index of a layer, block or stage for `*`; a
    /// certificate, which knows no steps, leaves the part with the step out.
    package enum Kind: String, Sendable, CaseIterable {
        case tokens = "text.input_ids"
        case attentionMask = "text.attention_mask"
        case embeddings = "text.embed"
        case textLayer = "text.layer.*"
        case textNorm = "text.norm"
        case promptMask = "prompt_mask"
        case promptEmbeds = "prompt_embeds"
        case start = "input.latents"
        case guidance = "dit.guidance"
        case caption = "dit.caption"
        case controlPixels = "control.pixels"
        case controlOutput = "control.vae.enc.output"
        case controlLatents = "control.latents"
        case controlInput = "control.input"
        case controlCaption = "control.caption"
        case controlModulation = "control.modulation"
        case controlPatches = "control.patch_embed"
        case input = "dit.step#.input"
        case timestep = "dit.step#.timestep"
        case timeEmbedding = "dit.step#.time_embed"
        case modulation = "dit.step#.modulation"
        case patches = "dit.step#.patch_embed"
        case block = "dit.step#.block.*"
        case controlBlock = "control.step#.block.*"
        case controlResidual = "control.step#.residual.*"
        case outputNorm = "dit.step#.norm_out"
        case output = "dit.step#.output"
        case negative = "dit.step#.negative"
        case guided = "dit.step#.guided"
        case velocity = "dit.velocity"
        case controlVelocity = "control.velocity"
        case denoised = "dit.step#.denoised"
        case noise = "input.noise.#"
        case renoised = "dit.step#.latents"
        case latents
        case decoderInput = "vae.dec.input"
        case decoderConvolution = "vae.dec.conv_in"
        case decoderStage = "vae.dec.stage.*"
        case decoded = "vae.dec.image"
        case image
        case bytes = "image_u8"
        case encoderConvolution = "vae.enc.conv_in"
        case encoderStage = "vae.enc.stage.*"
        case encoderOutput = "vae.enc.output"
        case encoded = "vae.enc.latents"
    }

    package let kind: Kind
    /// Of the sampler; nil where there is but one, and in certificates.
    package let step: Int?
    /// Of a layer, block or stage; nil for what is no one of several.
    package let index: Int?

    package init(_ kind: Kind, _ index: Int? = nil, step: Int? = nil) { (self.kind, self.index, self.step) = (kind, index, step) }

    /// The probe of a name in a trace; nil for names that the format does not know.
    package init?(_ name: String) {
        self.init(any: name)
        guard isTraced else { return nil }
    }

    /// The probe of a name in a certificate.
    package init?(certificate name: String) {
        self.init(any: name)
        guard step == nil else { return nil }
    }

    private init?(any name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        for (kind, pattern) in Self.patterns {
            if let found = Self.match(parts, pattern, kind) ?? Self.match(parts, pattern.filter { !$0.isStep }, kind) {
                self = found
                return
            }
        }
        return nil
    }

    /// The name, which `init` reads.
    package var name: String {
        kind.rawValue.split(separator: ".").compactMap { part -> String? in
            if part.isStep { return step.map { part.dropLast() + "\($0)" } }
            return part == "*" ? "\(index ?? 0)" : String(part)
        }.joined(separator: ".")
    }

    private static let patterns = Kind.allCases.map { ($0, $0.rawValue.split(separator: ".")) }

    private static func match(_ parts: [Substring], _ pattern: [Substring], _ kind: Kind) -> Probe? {
        guard parts.count == pattern.count else { return nil }
        var (index, step): (Int?, Int?)
        for (part, expected) in zip(parts, pattern) {
            if expected == "*" {
                index = number(part)
                guard index != nil else { return nil }
            } else if expected.isStep {
                guard part.hasPrefix(expected.dropLast()) else { return nil }
                step = number(part.dropFirst(expected.count - 1))
                guard step != nil else { return nil }
            } else if part != expected {
                return nil
            }
        }
        return Probe(kind, index, step: step)
    }

    /// A number as names have it, without sign or leading zeros.
    private static func number(_ text: Substring) -> Int? { Int(text).flatMap { $0 >= 0 && "\($0)" == text ? $0 : nil } }
}

extension Probe {
    private var isTraced: Bool {
        switch kind {
        case .textNorm, .velocity, .decoded, .encoded, .controlCaption, .controlModulation, .controlPatches, .controlVelocity: false
        default: step != nil || !kind.rawValue.contains("#")
        }
    }

    /// The same value in a step of the sampler.
    package func at(_ step: Int?) -> Probe { Probe(kind, index, step: kind.rawValue.contains("#") ? step : nil) }

    /// The place in the order of the data, compared element by element: what comes first cannot be broken by what comes later.
    package var rank: [Int] {
        let order = Self.order(kind)
        // All of a step comes before the next. The decoder runs from its highest stage down. A control network's block stands behind the base's of its
        // number, and behind what a trace may have inside that.
        let place =
            switch kind {
            case .decoderStage: [order, -(index ?? 0)]
            case .controlBlock: [Self.order(.block), index ?? 0, 2]
            case .controlResidual: [Self.order(.block), index ?? 0, 3]
            default: [order, index ?? 0]
            }
        return step.map { [Self.firstOfStep, $0] + place } ?? place
    }

    private static func order(_ kind: Kind) -> Int { Kind.allCases.firstIndex(of: kind) ?? 0 }
    private static let firstOfStep = order(.input)

    /// The mask of which token rows count; nil where all do.
    package var mask: Probe? {
        switch kind {
        case .promptEmbeds, .caption: Probe(.promptMask)
        case .embeddings, .textLayer: Probe(.attentionMask)
        default: nil
        }
    }

    /// The part of the model that computes what has a name, also one inside a part that the format does not know; nil for what none computes.
    package static func part(_ name: String) -> Part? {
        switch name.split(separator: ".").first {
        case "text", "prompt_embeds": .textEncoder
        case "dit", "control": .transformer
        case "vae": .autoencoder
        case "image", "image_u8": .picture
        default: nil
        }
    }

    package enum Part: Sendable { case textEncoder, transformer, autoencoder, picture }

    /// Whether it is given to the run, not computed by the model: tokens, masks, noise, pictures and times.
    package var isInput: Bool { [.tokens, .attentionMask, .promptMask, .start, .noise, .guidance, .controlPixels, .timestep].contains(kind) }
    /// Whether it is noise that both of two runs have to start from.
    package var isNoise: Bool { kind == .start || kind == .noise }
}

extension Substring {
    /// Whether a part of a pattern has the step in it.
    fileprivate var isStep: Bool { last == "#" }
}
