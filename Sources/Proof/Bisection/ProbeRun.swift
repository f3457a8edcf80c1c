import Inference
import Parity
import StrictJSON
import Tensors

/// Computes probes from the values that a trace has of the ones before: every step is fed what the trace's own step was fed.
struct ProbeRun {
    let parts: ModelParts
    let values: TraceValues
    /// The model without a mistake, for what the trace lacks: the mistake is made in one step alone.
    let honest: ModelParts
    /// A mistake to make between the weights, where one is tried.
    let slip: Slip
    /// Counts the steps that a value takes: more than one where the trace lacks those in between.
    let length = Length()

    init(parts: ModelParts, values: TraceValues, honest: ModelParts, slip: Slip = .none) {
        (self.parts, self.values, self.honest, self.slip) = (parts, values, honest, slip)
    }

    final class Length { var steps = 0 }

    private var configuration: SanaSprintConfiguration { parts.configuration }

    /// A probe as the trace has it, or computed where it has not.
    func value(_ name: String) throws -> Tensor? {
        if let stored = try values.tensor(name) { return stored }
        // An engine without a text encoder starts from the reference's features.
        if name == "prompt_embeds", !values.has("text.input_ids"), let given = try values.input(name) { return given }
        let upstream = ProbeRun(parts: honest, values: values, honest: honest)
        defer { length.steps += upstream.length.steps }
        return try upstream.compute(name)
    }

    /// A probe computed from those before it; nil for inputs, and where something that it needs is missing.
    func compute(_ name: String) throws -> Tensor? {
        guard let probe = ProbeName(name) else { return nil }
        length.steps += 1
        switch probe {
        case .embeddings: return try embeddings()
        case .textLayer(let index):
            guard let x = try value(index == 0 ? "text.embed" : "text.layer.\(index - 1)") else { return nil }
            return try parts.textLayer(index, x)
        case .promptEmbeds: return try promptEmbeds()
        case .guidance:
            guard let scale = values.request("guidance")?.double else { return nil }
            return try Tensor([1], [Float(scale * configuration.transformer.guidanceScale * slip.guidance)])
        case .caption:
            guard let features = try value("prompt_embeds") else { return nil }
            return try parts.caption(features)
        case .latents:
            guard let times = values.times(), let last = try value("dit.step\(times.count - 2).denoised") else { return nil }
            return try last.map { $0 / configuration.scheduler.sigmaData }
        case .decoderInput, .decoderConvolution, .decoderStage, .image, .bytes, .encoderStage: return try autoencoder(probe)
        default: return try transformer(probe)
        }
    }

    // MARK: - Text

    private func embeddings() throws -> Tensor? {
        guard let ids = try values.integers("text.input_ids"), let count = try values.kept("text.attention_mask") else { return nil }
        return try parts.embeddings(ids.prefix(count).map { Int32(clamping: $0) })
    }

    private func promptEmbeds() throws -> Tensor? {
        guard let text = configuration.text, let hidden = try value("text.layer.\(text.layers - 1)"),
            let all = try values.integers("text.attention_mask")?.count,
            let kept = try values.integers("prompt_mask")?.count
        else { return nil }
        let normed = slip.skipsNorm ? hidden : try parts.textNorm(hidden)
        let positions = slip.takesFirstTokens ? Array(0..<kept) : [0] + (max(0, all - (kept - 1))..<all)
        return try normed.rows(positions.filter { $0 < hidden.rows })
    }

    // MARK: - Transformer

    private func transformer(_ probe: ProbeName) throws -> Tensor? {
        guard let step = probe.step else { return nil }
        let name = "dit.step\(step)."
        switch probe {
        case .timestep:
            guard let time = flowTime(step) else { return nil }
            return try Tensor([1], [Float(time)])
        case .timeEmbedding:
            guard let time = try value(name + "timestep")?.elements.first, let guidance = try value("dit.guidance")?.elements.first else { return nil }
            return try parts.timeEmbedding(
                time: slip.time.map { flowTime(step + $0) ?? 0 } ?? Double(time) * slip.timeFactor, guidance: Double(guidance) * slip.guidance)
        case .modulation:
            guard let embedding = try value(name + "time_embed") else { return nil }
            return try parts.modulation(embedding.reshaped([1, embedding.count]))
        case .patches:
            guard let input = try value(name + "input") else { return nil }
            return try parts.patchEmbedding(input)
        case .block(_, let index): return try block(step, index)
        case .outputNorm:
            guard let x = try value(name + "block.\(configuration.transformer.layers - 1)"), let embedding = try value(name + "time_embed") else { return nil }
            return try parts.outputNorm(x, embedding: embedding.reshaped([1, embedding.count]))
        case .output:
            guard let x = try value(name + "norm_out"), let size = try latentSize() else { return nil }
            return try parts.output(x, height: size.height, width: size.width)
        default: return try sampler(probe, step)
        }
    }

    private func block(_ step: Int, _ index: Int) throws -> Tensor? {
        let name = "dit.step\(step)."
        let patch = configuration.transformer.patch
        guard let x = try value(index == 0 ? name + "patch_embed" : name + "block.\(index - 1)"), var modulation = try value(name + "modulation"),
            var caption = try value("dit.caption"), let size = try latentSize()
        else { return nil }
        if slip.attendsToPadding { caption = try paddedCaption() ?? caption }
        if let order = slip.modulationOrder { modulation = try modulation.reshaped([6, modulation.count / 6]).rows(order) }
        return try parts.block(
            index, x, modulation: modulation.reshaped([1, modulation.count]), caption: caption, height: size.height / patch, width: size.width / patch)
    }

    /// The caption with the rows of padding, from the trace or from the features that the run started with.
    private func paddedCaption() throws -> Tensor? {
        if let padded = try values.padded("dit.caption") { return padded }
        return try values.padded("prompt_embeds").map { try honest.caption($0) }
    }

    private func latentSize() throws -> (height: Int, width: Int)? {
        for name in ["input.latents", "dit.step0.input", "latents"] {
            if let shape = try values.input(name)?.shape, shape.rank == 3 { return (shape[1], shape[2]) }
        }
        return nil
    }

    // MARK: - Sampler

    private func flow(_ step: Int) -> TrigFlow? {
        guard let times = values.times() else { return nil }
        let index = step + (slip.time ?? 0)
        guard index >= 0, index + 1 < times.count else { return nil }
        return TrigFlow(from: times[index], to: times[index + 1], sigma: configuration.scheduler.sigmaData)
    }

    private func flowTime(_ step: Int) -> Double? {
        guard let times = values.times(), times.indices.contains(step) else { return nil }
        return TrigFlow(from: times[step], to: 0, sigma: 1).flowTime
    }

    /// What a step starts from.
    private func start(_ step: Int) throws -> Tensor? {
        guard step == 0 else { return try value("dit.step\(step - 1).latents") }
        return try values.input("input.latents")?.map { $0 * configuration.scheduler.sigmaData }
    }

    private func sampler(_ probe: ProbeName, _ step: Int) throws -> Tensor? {
        let name = "dit.step\(step)."
        guard let flow = flow(step) else { return nil }
        switch probe {
        case .input: return try start(step).map { try flow.input($0) }
        case .denoised:
            guard let latents = try start(step), let input = try value(name + "input"), let velocity = try value(name + "output") else { return nil }
            return try flow.denoised(latents, input: input, velocity: velocity)
        case .renoised:
            guard let clean = try value(name + "denoised"), let noise = try values.input("input.noise.\(max(0, step + slip.noise))") else { return nil }
            return try flow.renoised(clean, noise: noise)
        default: return nil
        }
    }

    // MARK: - Autoencoder

    private func autoencoder(_ probe: ProbeName) throws -> Tensor? {
        guard let vae = configuration.vae else { return nil }
        let stages = vae.decoder.stages
        switch probe {
        case .decoderInput: return try value("latents")?.map { $0 / vae.scalingFactor }
        case .decoderConvolution: return try value("vae.dec.input").map { try parts.decoderInput($0) }
        case .decoderStage(let index):
            guard stages.indices.contains(index), stages[index].blocks > 0 else { return nil }
            guard index == stages.count - 1 else { return try value("vae.dec.stage.\(index + 1)").map { try parts.decoderStage(index, $0) } }
            guard let opened = try value("vae.dec.conv_in"), let latents = try value("vae.dec.input") else { return nil }
            return try parts.decoderStage(index, slip.skipsShortcut ? opened : try parts.withShortcut(opened, latents: latents))
        case .image:
            if vae.decoder.hasTopStage, let x = try value("vae.dec.stage.0") { return try parts.picture(x) }
            return try value("vae.dec.input").map { try parts.decode($0) }
        case .bytes:
            guard let image = try value("image"), image.shape.rank == 3 else { return nil }
            let rounding: FloatingPointRoundingRule = slip.truncates ? .towardZero : .toNearestOrEven
            return try image.pixels { (min(max($0 / 2 + 0.5, 0), 1) * 255).rounded(rounding) }
        case .encoderStage(let index):
            guard index > 0, vae.encoder.stages[index - 1].blocks > 0 || index > 1 else { return nil }
            return try values.tensor("vae.enc.stage.\(index - 1)").map { try parts.encoderStage(index, $0) }
        default: return nil
        }
    }
}

/// A mistake between the layers, as data.
struct Slip: Sendable, Equatable {
    var guidance = 1.0
    var timeFactor = 1.0
    /// The time of the step so many later.
    var time: Int?
    /// The noise of the step so many later.
    var noise = 0
    var attendsToPadding = false
    var takesFirstTokens = false
    var skipsNorm = false
    var skipsShortcut = false
    var truncates = false
    /// The order of the six vectors of the modulation.
    var modulationOrder: [Int]?

    static let none = Slip()

    init(_ change: (inout Slip) -> Void = { _ in }) { change(&self) }
}

extension TraceValues {
    /// A token map with its rows of padding.
    func padded(_ name: String) throws -> Tensor? {
        guard has(name) else { return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).padded(name) } }
        let tensor = try file.read(name).rounded()
        return tensor.shape.rank == 3 ? tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst()))) : tensor
    }
}

extension Tensor {
    /// Each element, computed in double.
    func map(_ formula: (Double) -> Double) throws(AllocationError) -> Tensor {
        var result = try copy()
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(formula(Double(elements[index]))) }
        return result
    }

    /// A map `[c, h, w]` as pixels `[h, w, c]`.
    func pixels(_ formula: (Float) -> Float) throws(AllocationError) -> Tensor {
        let (channels, area) = (shape[0], shape[1] * shape[2])
        var result = try Tensor([shape[1], shape[2], channels], zeroed: false)
        let source = span
        var target = result.mutableSpan
        for pixel in 0..<area { for channel in 0..<channels { target[pixel * channels + channel] = formula(source[channel * area + pixel]) } }
        return result
    }
}
