package import Inference
package import Operations
package import Tensors

/// Inputs at which errors are measured: prompts with noise of their own, on the way that the checkpoint's model takes from noise to picture.
package struct Draws<E: Executor> {
    package private(set) var flows: [TrigFlow]
    package let guidance: Double
    /// Side of the latents.
    package let side: Int
    let sigma: Double
    private let prompts: [String]
    private let withInstruction: Bool
    private let pipeline: SanaSprintPipeline<E>
    private var known: [String: Tensor] = [:]

    /// - Parameters:
    ///   - pipeline: the packed file's; its text encoder serves both models, since inputs have to be likely and identical, not exact.
    ///   - prompts: captions as the model is asked for them; further draws take them again with other noise.
    ///   - steps: of the schedule; a frozen file's own takes its place.
    ///   - mostSide: the largest side of the latents; the model's own where that is smaller.
    ///   - withInstruction: whether the text encoder reads the instruction before each prompt, as a picture's does.
    package init(
        _ pipeline: SanaSprintPipeline<E>, prompts: [String], steps: Int, mostSide: Int, withInstruction: Bool = true
    ) throws(InferenceError) {
        self.pipeline = pipeline
        self.prompts = prompts
        self.withInstruction = withInstruction
        side = Draw.side(atMost: mostSide, pipeline.configuration.transformer)
        sigma = pipeline.configuration.scheduler.sigmaData
        var request = GenerationRequest(prompt: "")
        request.timesteps = .steps(steps)
        if let frozen = pipeline.frozenSchedule { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        guidance = Double(request.guidance)
        flows = []
        try follow(request.timesteps)
    }

    /// What the draw of an index is of.
    func prompt(of index: Int) -> String { prompts[index % prompts.count] }

    /// The same prompts and noise on the way of another schedule.
    mutating func follow(_ plan: TimestepPlan) throws(InferenceError) {
        flows = try TrigFlow.steps(of: plan, pipeline.configuration.scheduler)
    }

    /// The draw of an index: always the same. It has prompt index modulo their number, and the noise of seed index.
    package mutating func draw(_ index: Int) throws(InferenceError) -> Draw {
        let prompt = prompt(of: index)
        let features: Tensor
        if let encoded = known[prompt] {
            features = encoded
        } else if pipeline.has(.textEncoder) {
            var request = GenerationRequest(prompt: prompt)
            request.useInstruction = withInstruction
            features = try pipeline.promptFeatures(Job(request))
            known[prompt] = features
        } else {
            features = try Draw.seededFeatures(index, pipeline.configuration.transformer)
        }
        return Draw(features: features, noises: try Draw.noises(index, flows.count + 1, pipeline.configuration.transformer, side: side))
    }

    /// Reads the prompts of some draws: the text encoder's layers are loaded once for all of them.
    mutating func read(_ indices: [Int]) throws(InferenceError) {
        let fresh = Set(indices.map(prompt(of:))).subtracting(known.keys).sorted()
        guard pipeline.has(.textEncoder), !fresh.isEmpty else { return }
        let features = try pipeline.promptFeatures(of: fresh, withInstruction: withInstruction)
        for (prompt, rows) in zip(fresh, features) { known[prompt] = rows }
    }

    /// The draws of some indices.
    mutating func draws(_ indices: [Int]) throws(InferenceError) -> [Draw] {
        try read(indices)
        return try indices.map { index throws(InferenceError) in try draw(index) }
    }

    /// The latents of an outline that a control network follows in the draw of an index; of noise where there is no encoder.
    /// - Parameter parts: what encodes it.
    func outline<Encoding: Executor>(_ index: Int, _ parts: ModelParts<Encoding>) throws(InferenceError) -> Tensor {
        guard let vae = pipeline.configuration.vae, pipeline.readsPictures else {
            return try Draw.noises(2000 + index, 1, pipeline.configuration.transformer, side: side)[0]
        }
        let picture = Outlines.picture(index, size: side * vae.compression)
        let latents = try parts.encode(try allocating(try Pixels.normalized(picture)))
        return try allocating(try latents.scaled(by: vae.scalingFactor))
    }

    /// Takes draws through all steps, all of them through one before the next.
    /// - Parameter step: gives the velocities, by draw, of what the network sees at a flow time.
    /// - Returns: the final latents, `[channels, side, side]` of unit variance.
    package func walk(
        _ draws: [Draw], _ step: (_ time: Double, _ inputs: [Tensor], _ features: [Tensor]) throws(InferenceError) -> [Tensor]
    ) throws(InferenceError) -> [Tensor] {
        let walk = PictureWalk(flows: [flows], guidance: guidance, side: side, sigma: sigma, noises: draws.map(\.noises))
        return try walk.run { moments throws(InferenceError) in [try step(moments[0].time, moments[0].inputs, draws.map(\.features))] }.latents[0]
    }
}

/// One picture to be.
package struct Draw {
    /// What the text encoder says of the prompt, `[tokens, captionChannels]`.
    let features: Tensor
    /// Unit noise `[channels, side, side]`: the start, and what is added after each step.
    let noises: [Tensor]

    /// Tokens of a prompt where there is no text encoder to say.
    private static let tokens = 32

    /// Unit noise of a seed, `[channels, side, side]` each: the start of a picture, and what is added after each step.
    static func noises(_ seed: Int, _ count: Int, _ c: TransformerConfiguration, side: Int) throws(InferenceError) -> [Tensor] {
        var generator = TorchGenerator(seed: UInt64(seed))
        let shape: Shape = [c.channels, side, side]
        return try allocating { () throws(MachineError) in
            try (0..<count).map { _ throws(MachineError) in try Tensor(shape, generator.randn(shape.elementCount)) }
        }
    }

    /// What stands for a prompt's features where there is no text encoder.
    static func seededFeatures(_ index: Int, _ c: TransformerConfiguration) throws(InferenceError) -> Tensor {
        var generator = TorchGenerator(seed: UInt64(1000 + index))
        let shape: Shape = [tokens, c.captionChannels]
        return try allocating(try Tensor(shape, generator.randn(shape.elementCount)))
    }

    /// The side of latents that may have so many pixels on a side: the model's own where that is smaller.
    static func side(atMost most: Int, _ c: TransformerConfiguration) -> Int { max(c.patch, min(most, c.sampleSize) / c.patch * c.patch) }
}

extension Tensor {
    /// A square of a map `[channels, h, w]`.
    package func part(row: Int, column: Int, side: Int) throws(MachineError) -> Tensor {
        let (channels, height, width) = (shape[0], shape[1], shape[2])
        var result = try Tensor([channels, side, side], zeroed: false)
        var elements = result.mutableSpan
        for index in elements.indices {
            let (channel, y, x) = (index / (side * side), index / side % side, index % side)
            elements[index] = span[(channel * height + row + y) * width + column + x]
        }
        return result
    }
}
