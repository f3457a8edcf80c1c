import Operations
import ProbePoints
package import Tensors

/// The sampling loop of one picture: a request, checked and laid out for a model.
struct LatentSampler {
    private let sampler: Sampler
    private let times: [Float]
    /// Of the latents, `[c, h, w]`.
    let shape: Shape
    /// Of the picture, where it is not that of the latents.
    let size: (height: Int, width: Int)?
    private let guidance: Float
    private let guidanceScale: Double
    private let sigma: Double
    /// Latents at the first of the times, of standard deviation sigma; nil where they are `noise`, scaled.
    private let start: Tensor?
    private let noise: Tensor
    private let noises: [Tensor]
    /// Positions of the prompt that traces have: padding included.
    private let promptPositions: Int

    /// How often the transformer is evaluated.
    var steps: Int { times.count - 1 }

    /// Bytes of latents in a run: noise of the start and of each step; before and after a step, clean, the network's input and output and patches of
    /// both.
    static func byteCount(_ shape: Shape, _ steps: Int) -> Int { (steps + 8) * Tensor.byteCount(shape.elementCount) }

    /// Checks the request against the model before anything is computed.
    /// - Parameter drawsNoise: false where the loop is not going to be run.
    init(
        _ request: GenerationRequest, _ configuration: SanaSprintConfiguration, compression: Int, frozen: FrozenSchedule? = nil, drawsNoise: Bool = true
    ) throws(InferenceError) {
        let transformer = configuration.transformer
        let grid = compression * transformer.patch
        let side = transformer.sampleSize * compression
        var (height, width) = (request.height ?? side, request.width ?? side)
        if request.usesBinning {
            let bin = try ResolutionBin(height: height, width: width, sampleSize: transformer.sampleSize)
            size = (height, width)
            (height, width) = (bin.height, bin.width)
        } else {
            size = nil
        }
        for (name, extent) in [("width", width), ("height", height)] where extent <= 0 || extent % grid != 0 || extent > 65_536 {
            let (below, above) = (extent / grid * grid, (extent / grid + 1) * grid)
            throw .request(
                subject: name,
                expected: "a multiple of \(grid) pixels up to 65536" + (extent > 0 && below > 0 && above <= 65_536 ? ", such as \(below) or \(above)" : ""),
                found: "\(extent)")
        }
        sampler = request.sampler
        guard request.picture == nil || sampler == .consistency else {
            throw .request(subject: "sampler", expected: "scm for a picture that is changed", found: sampler.rawValue)
        }
        times = try Self.times(request, configuration.scheduler)
        guard frozen == nil || sampler == .consistency else {
            throw .request(subject: "sampler", expected: "scm, whose times the file was frozen for", found: sampler.rawValue)
        }
        try frozen?.check(times: times, guidance: request.guidance)
        shape = [transformer.channels, height / compression, width / compression]
        guidance = request.guidance
        guidanceScale = transformer.guidanceScale
        sigma = configuration.scheduler.sigmaData
        promptPositions = request.promptFeatures?.mask.count ?? SanaSprintPrompt.defaultMaximumLength
        start = if let latents = request.start { try Self.fitting(latents, shape, "start") } else { nil }
        (noise, noises) = drawsNoise ? try Self.noise(request.noise, shape, steps: sampler == .consistency ? times.count - 1 : 0) : (try Self.nothing(), [])
    }

    private static func times(_ request: GenerationRequest, _ scheduler: SchedulerConfiguration) throws(InferenceError) -> [Float] {
        guard request.sampler == .flowEuler else { return try request.timesteps.times(maximumSteps: scheduler.maximumSteps) }
        guard case .steps(let count) = request.timesteps else {
            throw .request(subject: "timesteps", expected: "a number of steps for the sampler flow-euler, whose times follow from it", found: "a list")
        }
        return try FlowEuler.times(steps: count, maximumSteps: scheduler.maximumSteps, shift: scheduler.flowShift)
    }

    private static func nothing() throws(InferenceError) -> Tensor {
        try allocating(try Tensor([0]))
    }

    private static func noise(_ source: NoiseSource, _ shape: Shape, steps: Int) throws(InferenceError) -> (Tensor, [Tensor]) {
        switch source {
        case .seed(let seed):
            var generator = TorchGenerator(seed: seed)
            return try allocating { () throws(MachineError) in
                let start = try Tensor(shape, generator.randn(shape.elementCount))
                var noises: [Tensor] = []
                for _ in 0..<steps { noises.append(try Tensor(shape, generator.randn(shape.elementCount))) }
                return (start, noises)
            }
        case .given(let latents, let given):
            guard given.count >= steps - 1 else {
                throw .request(subject: "step noise", expected: "at least \(steps - 1) tensors for \(steps) steps", found: "\(given.count)")
            }
            var noises: [Tensor] = []
            for tensor in [latents] + given { noises.append(try fitting(tensor, shape, "noise")) }
            return (noises[0], Array(noises[1...].prefix(steps)))
        }
    }

    /// - Throws: where the tensor is neither `[c, h, w]` nor `[1, c, h, w]`.
    static func fitting(_ tensor: Tensor, _ shape: Shape, _ subject: String) throws(InferenceError) -> Tensor {
        guard tensor.shape == shape || tensor.shape == Shape([1] + shape.extents) else {
            throw .request(subject: subject, expected: "the shape \(shape) of the latents", found: "\(tensor.shape)")
        }
        return tensor.reshaped(shape)
    }

    /// The final latents `[c, h, w]`, of unit variance.
    /// - Parameters:
    ///   - hint: of a picture that is followed.
    ///   - picture: latents of one that is changed, of unit variance.
    func run<E>(
        _ transformer: SanaTransformer<E>, _ prompt: GuidedPrompt<E>, _ hint: SanaTransformer<E>.Hint? = nil, from picture: Tensor? = nil, for job: Job
    ) throws(InferenceError) -> Tensor {
        let probes = job.probes
        let (unit, start) = try allocating { () throws(MachineError) in
            let start =
                try picture.map { picture throws(MachineError) in
                    let flow = TrigFlow(from: times[0], to: times[0], sigma: sigma)
                    return try flow.renoised(try picture.scaled(by: sigma), noise: noise)
                } ?? self.start
            let unit = if let start { try start.scaled(by: 1 / sigma) } else { noise }
            try probes.record(Probe(.start), unit.batched)
            if transformer.configuration.embedsGuidance { try probes.record(Probe(.guidance), Double(guidance) * guidanceScale) }
            try probes.recordTokens(Probe(.caption), try transformer.executor.tensor(from: prompt.words.caption), paddedTo: promptPositions)
            return (unit, start)
        }
        let network: Network = { input, time, probes throws(InferenceError) in
            try allocating { () throws(MachineError) in
                try probes.record(Probe(.input), input.batched)
                try probes.record(Probe(.timestep), time)
            }
            return try prompt.velocity(transformer, input, time: time, guidance: Double(guidance), hint: hint, probes: probes)
        }
        let latents: Tensor
        switch sampler {
        case .consistency:
            let first = if let start { start } else { try allocating(try unit.scaled(by: sigma)) }
            latents = try consistency(first, network, job)
        case .flowEuler: latents = try flow(unit, network, job)
        }
        try allocating(try probes.record(Probe(.latents), latents.batched))
        return latents
    }

    /// The velocity at an input and a flow time.
    private typealias Network = (Tensor, Double, Probes) throws(InferenceError) -> Tensor

    private func consistency(_ start: Tensor, _ network: Network, _ job: Job) throws(InferenceError) -> Tensor {
        var (latents, denoised) = (start, start)
        for step in 0..<steps {
            try job.begin(.step(step + 1, of: steps))
            let (flow, probes) = (TrigFlow(from: times[step], to: times[step + 1], sigma: sigma), job.probes.at(step: step))
            let input = try allocating(try flow.input(latents))
            let velocity = try network(input, flow.flowTime, probes)
            (denoised, latents) = try allocating { () throws(MachineError) in
                let clean = try flow.denoised(latents, input: input, velocity: velocity)
                try probes.record(Probe(.denoised), clean.batched)
                // The noise after the last step has the weight sin 0 = 0; a trace may lack it.
                guard step < noises.count else { return (clean, latents) }
                try probes.record(Probe(.noise), noises[step].batched)
                let next = try flow.renoised(clean, noise: noises[step])
                try probes.record(Probe(.renoised), next.batched)
                return (clean, next)
            }
        }
        return try allocating(try denoised.scaled(by: 1 / sigma))
    }

    private func flow(_ unit: Tensor, _ network: Network, _ job: Job) throws(InferenceError) -> Tensor {
        var latents = unit
        for step in 0..<steps {
            try job.begin(.step(step + 1, of: steps))
            let (flow, probes) = (FlowEuler(from: times[step], to: times[step + 1]), job.probes.at(step: step))
            let velocity = try network(latents, flow.flowTime, probes)
            try allocating { () throws(MachineError) in
                latents = try flow.advanced(latents, velocity: velocity)
                try probes.record(Probe(.renoised), latents.batched)
            }
        }
        return latents
    }
}

/// What a transformer is told of a prompt; of models that are not told the guidance also no words, which it leads away from.
struct GuidedPrompt<E: Executor>: Sendable {
    let words: SanaTransformer<E>.Prompt
    /// Nil where guidance is told or not wanted.
    let negative: SanaTransformer<E>.Prompt?

    func velocity(
        _ transformer: SanaTransformer<E>, _ input: Tensor, time: Double, guidance: Double, hint: SanaTransformer<E>.Hint?, probes: Probes
    ) throws(InferenceError) -> Tensor {
        let velocity = try transformer.velocity(input, time: time, guidance: guidance, prompt: words, hint: hint, probes: probes)
        guard let negative else { return velocity }
        let other = try transformer.velocity(input, time: time, guidance: guidance, prompt: negative, hint: hint, probes: probes.unheard)
        return try allocating { () throws(MachineError) in
            try probes.record(Probe(.negative), other.batched)
            let guided = try ClassifierFreeGuidance.velocity(velocity, awayFrom: other, scale: guidance)
            try probes.record(Probe(.guided), guided.batched)
            return guided
        }
    }
}
