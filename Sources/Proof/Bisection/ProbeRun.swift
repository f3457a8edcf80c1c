import Inference
import Operations
import Parity
import ProbePoints
import StrictJSON
import Tensors

/// Computes probes from the values that a trace has of the ones before: every step is fed what the trace's own step was fed.
struct ProbeRun {
    let parts: ModelParts<CPU>
    let values: TraceValues
    /// The model without a mistake, for what the trace lacks: the mistake is made in one step alone.
    let honest: ModelParts<CPU>
    /// A mistake to make between the weights, where one is tried.
    let slip: Slip
    /// Counts the steps that a value takes: more than one where the trace lacks those in between.
    let length = Length()

    init(parts: ModelParts<CPU>, values: TraceValues, honest: ModelParts<CPU>, slip: Slip = .none) {
        (self.parts, self.values, self.honest, self.slip) = (parts, values, honest, slip)
    }

    final class Length { var steps = 0 }

    var configuration: SanaSprintConfiguration { parts.configuration }

    /// A probe as the trace has it, or computed where it has not.
    func value(_ probe: Probe) throws -> Tensor? {
        if let stored = try values.tensor(probe) { return stored }
        if probe.kind == .controlPixels || probe.kind == .controlLatents && !values.has(Probe(.controlPixels)) { return try values.input(probe) }
        // An engine without a text encoder starts from the reference's features.
        if probe.kind == .promptEmbeds, !values.has(Probe(.tokens)), let given = try values.input(probe) { return given }
        let upstream = ProbeRun(parts: honest, values: values, honest: honest)
        defer { length.steps += upstream.length.steps }
        return try upstream.compute(probe)
    }

    func value(_ kind: Probe.Kind, _ index: Int? = nil, step: Int? = nil) throws -> Tensor? { try value(Probe(kind, index, step: step)) }

    /// A probe computed from those before it; nil for inputs, and where something that it needs is missing.
    func compute(_ probe: Probe) throws -> Tensor? {
        guard probe.isComputed else { return nil }
        length.steps += 1
        switch probe.kind {
        case .embeddings: return try embeddings()
        case .textLayer: return try value(probe.previous(.embeddings)).map { try parts.textLayer(probe.index ?? 0, $0) }
        case .promptEmbeds: return try promptEmbeds()
        case .guidance:
            guard let scale = values.request("guidance")?.double else { return nil }
            return try Tensor([1], [Float(scale * configuration.transformer.guidanceScale * slip.guidance)])
        case .controlOutput, .controlLatents, .controlInput, .controlBlock, .controlResidual: return try control(probe)
        case .caption: return try value(.promptEmbeds).map { try parts.caption($0) }
        case .latents:
            guard let times = values.times() else { return nil }
            if values.sampler == .flowEuler { return try value(.renoised, step: times.count - 2) }
            guard let last = try value(.denoised, step: times.count - 2) else { return nil }
            return try last.map { $0 / configuration.scheduler.sigmaData }
        default: return try probe.step.map { try transformer(probe, $0) } ?? autoencoder(probe)
        }
    }

    // MARK: - Text

    private func embeddings() throws -> Tensor? {
        guard let ids = try values.integers(Probe(.tokens)), let count = try values.kept(Probe(.attentionMask)) else { return nil }
        return try parts.embeddings(ids.prefix(count).map { Int32(clamping: $0) })
    }

    private func promptEmbeds() throws -> Tensor? {
        guard let text = configuration.text, let hidden = try value(.textLayer, text.layers - 1),
            let all = try values.integers(Probe(.attentionMask))?.count,
            let kept = try values.integers(Probe(.promptMask))?.count
        else { return nil }
        let normed = slip.skipsNorm ? hidden : try parts.textNorm(hidden)
        let positions = slip.takesFirstTokens ? Array(0..<kept) : [0] + (max(0, all - (kept - 1))..<all)
        return try normed.rows(positions.filter { $0 < hidden.rows })
    }

    // MARK: - Transformer

    private func transformer(_ probe: Probe, _ step: Int) throws -> Tensor? {
        switch probe.kind {
        case .timestep:
            guard let time = flowTime(step) else { return nil }
            return try Tensor([1], [Float(time)])
        case .timeEmbedding:
            let told = configuration.transformer.embedsGuidance ? try value(.guidance)?.elements.first : 0
            guard let time = try value(.timestep, step: step)?.elements.first, let guidance = told else { return nil }
            return try parts.timeEmbedding(
                time: slip.time.map { flowTime(step + $0) ?? 0 } ?? Double(time) * slip.timeFactor, guidance: Double(guidance) * slip.guidance)
        case .modulation:
            return try value(.timeEmbedding, step: step).map { try parts.modulation($0.reshaped([1, $0.count])) }
        case .patches:
            return try value(.input, step: step).map { try parts.patchEmbedding($0) }
        case .block: return try block(probe, step)
        case .outputNorm:
            guard let x = try joined(Probe(.block, configuration.transformer.layers, step: step)), let embedding = try value(.timeEmbedding, step: step) else {
                return nil
            }
            return try parts.outputNorm(x, embedding: embedding.reshaped([1, embedding.count]))
        case .output:
            guard let x = try value(.outputNorm, step: step), let size = try latentSize() else { return nil }
            return try parts.output(x, height: size.height, width: size.width)
        default: return try sampler(probe, step)
        }
    }

    private func block(_ probe: Probe, _ step: Int) throws -> Tensor? {
        let patch = configuration.transformer.patch
        guard let x = try joined(probe), var modulation = try value(.modulation, step: step),
            var caption = try value(.caption), let size = try latentSize()
        else { return nil }
        if slip.attendsToPadding { caption = try paddedCaption() ?? caption }
        if let order = slip.modulationOrder { modulation = try modulation.reshaped([6, modulation.count / 6]).rows(order) }
        return try parts.block(
            probe.index ?? 0, x, modulation: modulation.reshaped([1, modulation.count]), caption: caption, height: size.height / patch,
            width: size.width / patch)
    }

    /// The caption with the rows of padding, from the trace or from the features that the run started with.
    private func paddedCaption() throws -> Tensor? {
        if let padded = try values.padded(Probe(.caption)) { return padded }
        return try values.padded(Probe(.promptEmbeds)).map { try honest.caption($0) }
    }

    func latentSize() throws -> (height: Int, width: Int)? {
        for probe in [Probe(.start), Probe(.input, step: 0), Probe(.latents)] {
            if let shape = try values.input(probe)?.shape, shape.rank == 3 { return (shape[1], shape[2]) }
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
        if values.sampler == .flowEuler { return Double(times[step]) }
        return TrigFlow(from: times[step], to: 0, sigma: 1).flowTime
    }

    /// What a step starts from.
    private func start(_ step: Int) throws -> Tensor? {
        guard step == 0 else { return try value(.renoised, step: step - 1) }
        let scale = values.sampler == .flowEuler ? 1 : configuration.scheduler.sigmaData
        return try values.input(Probe(.start))?.map { $0 * scale }
    }

    /// The velocity that the sampler takes: in models that are not told the guidance, guided away from no words.
    private func velocity(_ step: Int) throws -> Tensor? { try value(values.isGuidedAway(configuration) ? .guided : .output, step: step) }

    private func guided(_ step: Int) throws -> Tensor? {
        guard let velocity = try value(.output, step: step), let negative = try values.input(Probe(.negative, step: step)),
            let scale = values.request("guidance")?.double
        else { return nil }
        return try ClassifierFreeGuidance.velocity(velocity, awayFrom: negative, scale: scale)
    }

    private func euler(_ probe: Probe, _ step: Int) throws -> Tensor? {
        guard let times = values.times(), times.indices.contains(step + 1) else { return nil }
        switch probe.kind {
        case .input: return try start(step)
        case .renoised:
            guard let latents = try value(.input, step: step), let velocity = try velocity(step) else { return nil }
            return try FlowEuler(from: times[step], to: times[step + 1]).advanced(latents, velocity: velocity)
        default: return nil
        }
    }

    private func sampler(_ probe: Probe, _ step: Int) throws -> Tensor? {
        if probe.kind == .guided { return try guided(step) }
        if values.sampler == .flowEuler { return try euler(probe, step) }
        guard let flow = flow(step) else { return nil }
        switch probe.kind {
        case .input: return try start(step).map { try flow.input($0) }
        case .denoised:
            guard let latents = try start(step), let input = try value(.input, step: step), let velocity = try velocity(step) else { return nil }
            return try flow.denoised(latents, input: input, velocity: velocity)
        case .renoised:
            guard let clean = try value(.denoised, step: step), let noise = try values.input(Probe(.noise, step: max(0, step + slip.noise))) else { return nil }
            return try flow.renoised(clean, noise: noise)
        default: return nil
        }
    }

    // MARK: - Autoencoder

    private func autoencoder(_ probe: Probe) throws -> Tensor? {
        guard let vae = configuration.vae else { return nil }
        let stages = vae.decoder.stages
        let index = probe.index ?? 0
        switch probe.kind {
        case .decoderInput: return try value(.latents)?.map { $0 / vae.scalingFactor }
        case .decoderConvolution: return try value(.decoderInput).map { try parts.decoderInput($0) }
        case .decoderStage:
            guard stages.indices.contains(index), stages[index].blocks > 0 else { return nil }
            guard index == stages.count - 1 else { return try value(.decoderStage, index + 1).map { try parts.decoderStage(index, $0) } }
            guard let opened = try value(.decoderConvolution), let latents = try value(.decoderInput) else { return nil }
            return try parts.decoderStage(index, slip.skipsShortcut ? opened : try parts.withShortcut(opened, latents: latents))
        case .image:
            if vae.decoder.hasTopStage, let x = try value(.decoderStage, 0) { return try parts.picture(x) }
            return try value(.decoderInput).map { try parts.decode($0) }
        case .bytes:
            guard let image = try value(.image), image.shape.rank == 3 else { return nil }
            let rounding: FloatingPointRoundingRule = slip.truncates ? .towardZero : .toNearestOrEven
            return try image.pixels { (min(max($0 / 2 + 0.5, 0), 1) * 255).rounded(rounding) }
        case .encoderStage:
            guard index > 0, vae.encoder.stages[index - 1].blocks > 0 || index > 1 else { return nil }
            return try values.tensor(Probe(.encoderStage, index - 1)).map { try parts.encoderStage(index, $0) }
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
    /// Of a control network, what is added.
    var skipsControl = false
    var skipsControlScale = false

    static let none = Slip()

    init(_ change: (inout Slip) -> Void = { _ in }) { change(&self) }
}

extension Probe {
    /// Whether the bisection computes it from probes before it.
    var isComputed: Bool {
        ![.tokens, .attentionMask, .promptMask, .start, .noise, .negative, .controlPixels, .encoderConvolution, .encoderOutput].contains(kind)
    }

    /// What a layer or block takes: the output of the one before it, or `first`.
    func previous(_ first: Kind) -> Probe {
        index.flatMap { $0 == 0 ? nil : Probe(kind, $0 - 1, step: step) } ?? Probe(first, step: step)
    }
}

extension TraceValues {
    /// A token map with its rows of padding.
    func padded(_ probe: Probe) throws -> Tensor? {
        guard has(probe) else { return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).padded(probe) } }
        let tensor = try file.read(probe.name).rounded()
        return tensor.shape.rank == 3 ? tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst()))) : tensor
    }
}

extension Tensor {
    /// Each element, computed in double.
    func map(_ formula: (Double) -> Double) throws(MachineError) -> Tensor {
        var result = try copy()
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(formula(Double(elements[index]))) }
        return result
    }

    /// A map `[c, h, w]` as pixels `[h, w, c]`.
    func pixels(_ formula: (Float) -> Float) throws(MachineError) -> Tensor {
        let (channels, area) = (shape[0], shape[1] * shape[2])
        var result = try Tensor([shape[1], shape[2], channels], zeroed: false)
        let source = span
        var target = result.mutableSpan
        for pixel in 0..<area { for channel in 0..<channels { target[pixel * channels + channel] = formula(source[channel * area + pixel]) } }
        return result
    }
}
