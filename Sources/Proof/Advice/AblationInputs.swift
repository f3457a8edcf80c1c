import Inference
import Operations
import Tensors

/// Inputs at which errors are measured: prompts with noise of their own, on the way that the checkpoint's model takes from noise to picture.
struct AblationInputs {
    /// One picture to be.
    struct Draw {
        /// What the text encoder says of the prompt, `[tokens, captionChannels]`.
        let features: Tensor
        /// Unit noise `[channels, side, side]`: the start, and what is added after each step.
        let noises: [Tensor]
    }

    let flows: [TrigFlow]
    let guidance: Double
    let sigma: Double
    /// Side of the latents.
    let side: Int
    private let pipeline: SanaSprintPipeline<CPU>
    private let frozen: FrozenSchedule?
    private var known: [String: Tensor] = [:]

    /// Captions as the model is asked for them; further draws take them again with other noise.
    static let prompts = [
        "a large red circle on a blue background", "a lighthouse on a cliff at dusk, oil painting", "portrait of an old fisherman, soft light",
        "a small yellow star on the left on a black background", "two cats asleep on a wooden chair", "a city street in the rain at night",
        "a green heart, white background", "a bowl of fruit on a table",
    ]
    /// Tokens of a prompt where there is no text encoder to say.
    private static let tokens = 32

    /// - Parameter pipeline: the packed file's; its text encoder serves both models, since inputs have to be likely and identical, not exact.
    init(_ pipeline: SanaSprintPipeline<CPU>, steps: Int, side: Int) throws(InferenceError) {
        self.pipeline = pipeline
        self.side = side
        var request = GenerationRequest(prompt: "")
        request.timesteps = .steps(steps)
        frozen = pipeline.frozenSchedule
        if let frozen { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        let scheduler = pipeline.configuration.scheduler
        sigma = scheduler.sigmaData
        guidance = Double(request.guidance)
        let times = try request.timesteps.times(maximumSteps: scheduler.maximumSteps)
        flows = zip(times, times.dropFirst()).map { [sigma] in TrigFlow(from: $0, to: $1, sigma: sigma) }
    }

    /// The draw of an index: always the same.
    mutating func draw(_ index: Int) throws(InferenceError) -> Draw {
        let prompt = Self.prompts[index % Self.prompts.count]
        let transformer = pipeline.configuration.transformer
        let shape: Shape = [transformer.channels, side, side]
        var generator = TorchGenerator(seed: UInt64(index))
        let features: Tensor
        if let encoded = known[prompt] {
            features = encoded
        } else if pipeline.has(.textEncoder) {
            features = try pipeline.promptFeatures(Job(GenerationRequest(prompt: prompt)))
            known[prompt] = features
        } else {
            var numbers = TestNumbers(seed: UInt64(1000 + index))
            features = try allocating(try numbers.tensor([Self.tokens, transformer.captionChannels]))
        }
        return try allocating { () throws(AllocationError) in
            var noises: [Tensor] = []
            for _ in 0...flows.count { noises.append(try Tensor(shape, generator.randn(shape.elementCount))) }
            return Draw(features: features, noises: noises)
        }
    }
}
