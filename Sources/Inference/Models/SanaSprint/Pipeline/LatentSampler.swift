import Operations
import ProbePoints
package import Tensors

/// The sampling loop of one picture: a request, checked and laid out for a model.
struct LatentSampler {
    private let times: [Float]
    /// Of the latents, `[c, h, w]`.
    let shape: Shape
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
        let (height, width) = (request.height ?? side, request.width ?? side)
        for (name, extent) in [("width", width), ("height", height)] where extent <= 0 || extent % grid != 0 || extent > 65_536 {
            let (below, above) = (extent / grid * grid, (extent / grid + 1) * grid)
            throw .request(
                subject: name,
                expected: "a multiple of \(grid) pixels up to 65536" + (extent > 0 && below > 0 && above <= 65_536 ? ", such as \(below) or \(above)" : ""),
                found: "\(extent)")
        }
        times = try request.timesteps.times(maximumSteps: configuration.scheduler.maximumSteps)
        try frozen?.check(times: times, guidance: request.guidance)
        shape = [transformer.channels, height / compression, width / compression]
        guidance = request.guidance
        guidanceScale = transformer.guidanceScale
        sigma = configuration.scheduler.sigmaData
        promptPositions = request.promptFeatures?.mask.count ?? SanaSprintPrompt.defaultMaximumLength
        start = if let latents = request.start { try Self.fitting(latents, shape, "start") } else { nil }
        (noise, noises) = drawsNoise ? try Self.noise(request.noise, shape, steps: times.count - 1) : (try Self.nothing(), [])
    }

    private static func nothing() throws(InferenceError) -> Tensor {
        try allocating(try Tensor([0]))
    }

    private static func noise(_ source: NoiseSource, _ shape: Shape, steps: Int) throws(InferenceError) -> (Tensor, [Tensor]) {
        switch source {
        case .seed(let seed):
            var generator = TorchGenerator(seed: seed)
            return try allocating { () throws(AllocationError) in
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
        _ transformer: SanaTransformer<E>, _ prompt: SanaTransformer<E>.Prompt, _ hint: SanaTransformer<E>.Hint? = nil, from picture: Tensor? = nil,
        for job: Job
    ) throws(InferenceError) -> Tensor {
        let probes = job.probes
        var latents = try allocating { () throws(AllocationError) in
            let start =
                try picture.map { picture throws(AllocationError) in
                    let flow = TrigFlow(from: times[0], to: times[0], sigma: sigma)
                    return try flow.renoised(try picture.scaled(by: sigma), noise: noise)
                } ?? self.start
            let (unit, latents) = if let start { (try start.scaled(by: 1 / sigma), start) } else { (noise, try noise.scaled(by: sigma)) }
            try probes.record(Probe(.start), unit.batched)
            try probes.record(Probe(.guidance), Double(guidance) * guidanceScale)
            try probes.recordTokens(Probe(.caption), try transformer.executor.tensor(from: prompt.caption), paddedTo: promptPositions)
            return latents
        }
        var denoised = latents
        for step in 0..<times.count - 1 {
            try job.begin(.step(step + 1, of: times.count - 1))
            let flow = TrigFlow(from: times[step], to: times[step + 1], sigma: sigma)
            let probes = probes.at(step: step)
            let input = try allocating(try flow.input(latents))
            let velocity = try transformer.velocity(
                input, time: flow.flowTime, guidance: Double(guidance), prompt: prompt, hint: hint, probes: probes)
            (denoised, latents) = try allocating { () throws(AllocationError) in
                try probes.record(Probe(.input), input.batched)
                try probes.record(Probe(.timestep), flow.flowTime)
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
        return try allocating { () throws(AllocationError) in
            let result = try denoised.scaled(by: 1 / sigma)
            try probes.record(Probe(.latents), result.batched)
            return result
        }
    }
}

extension Tensor {
    /// factor * self, computed in double.
    package func scaled(by factor: Double) throws(AllocationError) -> Tensor {
        var result = try copy()
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(Double(elements[index]) * factor) }
        return result
    }
}
