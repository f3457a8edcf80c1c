/// A probe of Formats/trace.md that is computed from others, taken apart.
enum ProbeName: Equatable {
    case embeddings
    case textLayer(Int)
    case promptEmbeds
    case guidance
    case caption
    case input(step: Int)
    case timestep(step: Int)
    case timeEmbedding(step: Int)
    case modulation(step: Int)
    case patches(step: Int)
    case block(step: Int, index: Int)
    case outputNorm(step: Int)
    case output(step: Int)
    case denoised(step: Int)
    case renoised(step: Int)
    case latents
    case decoderInput
    case decoderConvolution
    case decoderStage(Int)
    case image
    case bytes
    case encoderStage(Int)

    /// Nil for inputs and for names that the format does not know.
    init?(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        switch (parts.first, parts.count) {
        case ("text", 2) where parts[1] == "embed": self = .embeddings
        case ("text", 3) where parts[1] == "layer":
            guard let index = Int(parts[2]) else { return nil }
            self = .textLayer(index)
        case ("prompt_embeds", 1): self = .promptEmbeds
        case ("latents", 1): self = .latents
        case ("image", 1): self = .image
        case ("image_u8", 1): self = .bytes
        case ("dit", 2) where parts[1] == "guidance": self = .guidance
        case ("dit", 2) where parts[1] == "caption": self = .caption
        case ("dit", 3), ("dit", 4):
            guard parts[1].hasPrefix("step"), let step = Int(parts[1].dropFirst(4)), let known = Self.transformer(step, Array(parts[2...])) else { return nil }
            self = known
        case ("vae", 3) where parts[1] == "dec" && parts[2] == "input": self = .decoderInput
        case ("vae", 3) where parts[1] == "dec" && parts[2] == "conv_in": self = .decoderConvolution
        case ("vae", 4) where parts[2] == "stage":
            guard let index = Int(parts[3]) else { return nil }
            self = parts[1] == "dec" ? .decoderStage(index) : .encoderStage(index)
        default: return nil
        }
    }

    private static func transformer(_ step: Int, _ parts: [String]) -> ProbeName? {
        if parts.count == 2, parts[0] == "block", let index = Int(parts[1]) { return .block(step: step, index: index) }
        guard parts.count == 1 else { return nil }
        switch parts[0] {
        case "input": return .input(step: step)
        case "timestep": return .timestep(step: step)
        case "time_embed": return .timeEmbedding(step: step)
        case "modulation": return .modulation(step: step)
        case "patch_embed": return .patches(step: step)
        case "norm_out": return .outputNorm(step: step)
        case "output": return .output(step: step)
        case "denoised": return .denoised(step: step)
        case "latents": return .renoised(step: step)
        default: return nil
        }
    }

    /// The step of the sampler that the probe belongs to.
    var step: Int? {
        switch self {
        case .input(let step), .timestep(let step), .timeEmbedding(let step), .modulation(let step), .patches(let step), .block(let step, _),
            .outputNorm(let step), .output(let step), .denoised(let step), .renoised(let step):
            step
        default: nil
        }
    }
}
