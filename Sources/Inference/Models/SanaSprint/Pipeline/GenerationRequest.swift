package import Tensors

/// What picture to make.
package struct GenerationRequest: Sendable {
    package var prompt: String
    /// Whether the instruction that the model was trained with goes before the prompt.
    package var useInstruction = true
    /// Whether what the file knows of the instruction is used, instead of computing it anew.
    package var usePrefixCache = true
    package var timesteps = TimestepPlan.steps(2)
    package var sampler = Sampler.consistency
    package var guidance: Float = 4.5
    /// Size in pixels; nil for the model's own.
    package var width: Int?
    package var height: Int?
    /// Whether the picture is drawn at the nearest shape of a size that the model was trained on, and resized.
    package var usesBinning = false
    package var noise: NoiseSource
    /// Latents at the first of the times, `[c, h, w]` or `[1, c, h, w]`, of standard deviation sigma_data, instead of the first of the noise: a
    /// picture with noise of that time, or a run's own latents to go on from.
    var start: Tensor?
    /// The picture that is changed, as pixels `[3, h, w]` in -1 ... 1 of the size of the picture to be: what is left of it at the first of the times
    /// has that time's noise added. Nil to start from noise.
    package var picture: Tensor?
    /// The picture that a control network follows; nil for none.
    package var control: ControlRequest?
    /// Features that stand in for the text encoder's; the prompt is then not read.
    package var promptFeatures: PromptFeatures?
    /// The picture for the probes of the autoencoder's encoder; the generated one where nil.
    package var encoderPicture: Picture?

    package init(prompt: String, noise: NoiseSource = .seed(0)) {
        self.prompt = prompt
        self.noise = noise
    }
}

extension GenerationRequest {
    /// Takes steps and guidance from a frozen schedule, but for what is to be kept, where the request's own are not in it.
    package mutating func follow(_ schedule: FrozenSchedule, keepsSteps: Bool, keepsGuidance: Bool) {
        let plans = schedule.plans
        if !keepsSteps, !plans.contains(timesteps), let first = plans.first { timesteps = first }
        let own = guidance
        if !keepsGuidance, !schedule.guidance.contains(where: { Float($0) == own }) { guidance = Float(schedule.guidance[0]) }
    }
}

extension GenerationRequest {
    /// Steps for a model that was not distilled to few.
    private static let flowSteps = 20

    /// Takes as many steps as a model needs, where none are stated.
    package mutating func follow(_ model: TransformerConfiguration, keepsSteps: Bool) {
        if !keepsSteps, !model.embedsGuidance { timesteps = .steps(Self.flowSteps) }
    }
}

/// A picture to follow, and how closely.
package struct ControlRequest: Sendable {
    package enum Source: Sendable {
        /// Pixels `[3, h, w]` in -1 ... 1, of the size of the picture to be.
        case pixels(Tensor)
        /// What the autoencoder makes of them, times its factor, `[c, h, w]`.
        case latents(Tensor)
    }

    package let source: Source
    /// What is multiplied with all that the control network adds.
    package let scale: Double

    package init(_ source: Source, scale: Double = 1) { (self.source, self.scale) = (source, scale) }

    package init(_ picture: Picture, scale: Double = 1) throws(MachineError) { self.init(.pixels(try Pixels.normalized(picture)), scale: scale) }
}

/// Where the noise comes from.
package enum NoiseSource: Sendable {
    /// torch.Generator("cpu").manual_seed(seed), drawn from as diffusers does.
    case seed(UInt64)
    /// Unit noise: the start, and what is added after each step, `[c, h, w]` or `[1, c, h, w]`. That of the last step is not needed.
    case given(latents: Tensor, steps: [Tensor])
}

/// What the text encoder says of a prompt: one row per position, and which of them count.
package struct PromptFeatures: Sendable {
    /// `[positions, channels]`.
    let rows: Tensor
    /// 1 for the positions that the transformer sees.
    let mask: [Int32]

    /// - Parameter embeddings: `[positions, channels]` or `[1, positions, channels]`.
    package init(_ embeddings: Tensor, mask: [Int32]) {
        let channels = embeddings.shape.extents.last ?? 1
        rows = embeddings.reshaped([channels == 0 ? 0 : embeddings.count / channels, channels])
        self.mask = mask
    }
}
