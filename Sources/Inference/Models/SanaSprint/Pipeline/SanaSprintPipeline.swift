package import Operations
import ProbePoints
import StrictJSON
package import Tensors

/// An opened model on an executor, and what a picture is made with: text encoder, transformer, autoencoder. `Engine` runs them one after the other.
///
/// Source: SanaSprintPipeline in diffusers.
package final class SanaSprintPipeline<E: Executor>: Sendable {
    package let configuration: SanaSprintConfiguration
    let weights: any WeightSource
    let executor: E
    let compute: Compute

    /// - Parameters:
    ///   - executor: what computes.
    ///   - compute: the arithmetic of the transformer's matrix products with weights of 16 or 32 bits.
    package init(weights: any WeightSource, on executor: E, compute: Compute = .float32) throws(InferenceError) {
        if let failure = E.failure { throw .library(failure) }
        self.weights = weights
        self.executor = executor
        self.compute = compute
        let present = Component.allCases.filter(weights.has)
        configuration = try SanaSprintConfiguration(try weights.configurations(of: present))
    }

    // MARK: - Parts, for whoever runs them alone

    /// - Parameter built: layers that stay in memory, here and below.
    package func textEncoder(_ built: BuiltLayers? = nil) throws(InferenceError) -> Gemma2Encoder<E> {
        guard let text = configuration.text, has(.textEncoder) else { throw .missingComponent(.textEncoder, needed: "read a prompt") }
        return Gemma2Encoder(text, from: weights, on: executor, built: built)
    }

    /// - Parameter isControlled: whether a picture is followed.
    package func transformer(_ built: BuiltLayers? = nil, isControlled: Bool = false, _ probes: Probes = Probes()) throws(InferenceError) -> SanaTransformer<E>
    {
        guard has(.transformer) else { throw .missingComponent(.transformer, needed: "sample") }
        return try SanaTransformer(
            configuration.transformer, control: isControlled ? try controlConfiguration() : nil, from: weights, on: executor, compute: compute, built: built,
            probes: probes)
    }

    private func controlConfiguration() throws(InferenceError) -> ControlConfiguration {
        guard let control = configuration.control, has(.controlnet) else { throw .missingComponent(.controlnet, needed: "follow a picture") }
        return control
    }

    /// The small steps between the probes of a trace.
    package var parts: ModelParts<E> { ModelParts(configuration, from: weights, on: executor) }

    package func decoder(_ built: BuiltLayers? = nil) throws(InferenceError) -> AutoencoderDecoder<E> {
        guard let vae = configuration.vae, has(.vaeDecoder) else { throw .missingComponent(.vaeDecoder, needed: "make a picture of latents") }
        return AutoencoderDecoder(vae, from: weights, on: executor, built: built)
    }

    package func encoder() throws(InferenceError) -> AutoencoderEncoder<E> {
        guard let vae = configuration.vae, has(.vaeEncoder) else { throw .missingComponent(.vaeEncoder, needed: "make latents of a picture") }
        return AutoencoderEncoder(vae, from: weights, on: executor)
    }

    /// The schedule that the weights are frozen for; nil where any will do.
    package var frozenSchedule: FrozenSchedule? { weights.frozenSchedule }

    package func has(_ component: Component) -> Bool { weights.has(component) }

    /// Whether a picture can be made latents of.
    package var readsPictures: Bool { has(.vaeEncoder) }

    /// The size of a request's picture in pixels, which is the model's own where it does not say.
    package func size(of request: GenerationRequest) throws(InferenceError) -> (width: Int, height: Int) {
        let side = configuration.transformer.sampleSize * (try decoder().configuration.compression)
        return (request.width ?? side, request.height ?? side)
    }

    /// What an engine holds that may hold so many bytes.
    func residency(_ bytes: Int?) -> Residency {
        bytes.map { Residency(weights, configuration, compute, on: executor, within: $0) } ?? Residency()
    }

    // MARK: - Steps of a job

    /// The latents of pixels, times the autoencoder's factor.
    /// - Parameters:
    ///   - shape: of the latents that are sampled.
    ///   - subject: what the picture is for.
    ///   - record: is given what the encoder gave.
    func latents(
        of pixels: Tensor, _ shape: Shape, _ subject: String, _ job: Job, record: (Tensor) throws(MachineError) -> Void = { _ in }
    ) throws(InferenceError) -> Tensor {
        let encoder = try encoder()
        let side = encoder.configuration.compression
        guard pixels.shape == [3, shape[1] * side, shape[2] * side] else {
            throw .request(
                subject: subject, expected: "a picture of the size to draw, \(shape[2] * side) x \(shape[1] * side)",
                found: "\(pixels.shape[2]) x \(pixels.shape[1])")
        }
        try job.begin(.encodingPicture)
        let encoded = try encoder.encode(pixels)
        return try allocating { () throws(MachineError) in
            try record(encoded)
            return try encoded.scaled(by: encoder.configuration.scalingFactor)
        }
    }

    /// The latents of a picture that is followed, times the autoencoder's factor.
    /// - Parameter shape: of the latents that are sampled.
    func controlLatents(_ control: ControlRequest, _ shape: Shape, _ job: Job) throws(InferenceError) -> Tensor {
        _ = try controlConfiguration()
        let probes = job.probes
        let latents: Tensor
        switch control.source {
        case .latents(let given): latents = try LatentSampler.fitting(given, shape, "control")
        case .pixels(let pixels):
            latents = try self.latents(of: pixels, shape, "control", job) { encoded throws(MachineError) in
                try probes.record(Probe(.controlPixels), pixels.batched)
                try probes.record(Probe(.controlOutput), encoded.batched)
            }
        }
        try allocating(try probes.record(Probe(.controlLatents), latents.batched))
        return latents
    }

    /// The picture of a sampler's latents, `[c, h, w]` of unit variance.
    /// - Parameter size: of the picture, where it is to be resized.
    func decode(_ latents: Tensor, _ decoder: AutoencoderDecoder<E>, size: (height: Int, width: Int)? = nil, _ probes: Probes) throws(InferenceError) -> Picture
    {
        let scaled = try allocating { () throws(MachineError) in
            var scaled = try latents.copy()
            var elements = scaled.mutableSpan
            for index in elements.indices { elements[index] = Float(Double(elements[index]) / decoder.configuration.scalingFactor) }
            return scaled
        }
        let image = try decoder.decode(scaled, probes: probes)
        try allocating(try probes.record(Probe(.image), image.batched))
        let sized = if let size { try allocating(try ResolutionBin.resized(image, height: size.height, width: size.width)) } else { image }
        let picture = try Pixels.bytes(sized)
        try allocating(try probes.record(Probe(.bytes), picture.rgb, as: [picture.height, picture.width, 3]))
        return picture
    }

    /// The features of the positions that count, `[tokens, captionChannels]`.
    package func promptFeatures(_ job: Job) throws(InferenceError) -> Tensor { try promptFeatures(job, tokenizer, nil) }

    func promptFeatures(
        _ job: Job, _ tokenizer: () throws(InferenceError) -> GemmaTokenizer, _ built: BuiltLayers?
    ) throws(InferenceError) -> Tensor {
        let (request, probes) = (job.request, job.probes)
        if let given = request.promptFeatures { return try checked(given, probes) }
        let encoder = try textEncoder(built)
        try job.begin(.readingPrompt)
        let prompt = SanaSprintPrompt(request.prompt, tokenizer: try tokenizer(), withInstruction: request.useInstruction)
        if prompt.truncatedTokenCount > 0 { try job.begin(.promptCut(tokens: prompt.truncatedTokenCount)) }

        // Sinks see every token in every layer.
        if probes.sink == nil, request.usePrefixCache, let prefix = try prefix(for: prompt, job) {
            let hidden = try encoder.encode(prompt.ids, after: prefix, probes: probes)
            let own = prompt.keptPositions.dropFirst().map { $0 - prefix.ids.count }
            return try allocating(try Tensor(stacking: [prefix.first, try hidden.rows(own)]))
        }
        let padded = prompt.paddedIDs.count
        let hidden = try encoder.encode(prompt.ids, probes: probes, paddedLength: padded)
        return try allocating { () throws(MachineError) in
            try probes.record(Probe(.tokens), prompt.paddedIDs, as: [1, padded])
            try probes.record(Probe(.attentionMask), prompt.attentionMask, as: [1, padded])
            let kept = try hidden.rows(prompt.keptPositions)
            try probes.recordTokens(Probe(.promptEmbeds), kept, paddedTo: prompt.promptMask.count)
            try probes.record(Probe(.promptMask), prompt.promptMask, as: [1, prompt.promptMask.count])
            return kept
        }
    }

    /// Whether a request takes two passes a step, with the prompt and with no words.
    func isGuidedAway(_ request: GenerationRequest) -> Bool {
        !configuration.transformer.embedsGuidance && ClassifierFreeGuidance.isOn(Double(request.guidance))
    }

    /// The features of several prompts, computed with weights that are read once.
    /// - Parameter progress: is told before each layer.
    package func promptFeatures(
        of prompts: [String], withInstruction: Bool = true, _ progress: () -> Void = {}
    ) throws(InferenceError) -> [Tensor] {
        let read = try tokenized(prompts, withInstruction: withInstruction)
        let hidden = try textEncoder().encode(read.map(\.ids), progress)
        return try zip(read, hidden).map { prompt, hidden throws(InferenceError) in try allocating(try hidden.rows(prompt.keptPositions)) }
    }

    package func tokenized(_ prompts: [String], withInstruction: Bool) throws(InferenceError) -> [SanaSprintPrompt] {
        let tokenizer = try tokenizer()
        return prompts.map { SanaSprintPrompt($0, tokenizer: tokenizer, withInstruction: withInstruction) }
    }

    package func tokenizer() throws(InferenceError) -> GemmaTokenizer { try GemmaTokenizer(try weights.tokenizer()) }

    /// The file's prefix cache, where it has one that fits the prompt.
    private func prefix(for prompt: SanaSprintPrompt, _ job: Job) throws(InferenceError) -> PromptPrefix? {
        guard job.request.useInstruction else { return nil }
        let reason: String
        do throws(InferenceError) {
            guard let prefix = try weights.promptPrefix() else { return nil }
            if prefix.covers(prompt) { return prefix }
            reason = "it is of other tokens than the prompt begins with"
        } catch {
            if case .machine = error { throw error }
            reason = "\(error)"
        }
        try job.begin(.prefixCacheNotUsed(reason: reason))
        return nil
    }

    private func checked(_ given: PromptFeatures, _ probes: Probes) throws(InferenceError) -> Tensor {
        let channels = configuration.transformer.captionChannels
        let kept = given.mask.indices.filter { given.mask[$0] != 0 }
        guard given.rows.columns == channels, given.mask.count == given.rows.rows, !kept.isEmpty else {
            throw .request(
                subject: "prompt features", expected: "rows of \(channels) channels and a mask that keeps at least one of them",
                found: "\(given.rows.shape), \(given.mask.count) mask entries, \(kept.count) kept")
        }
        return try allocating { () throws(MachineError) in
            try probes.record(Probe(.promptEmbeds), given.rows.batched)
            try probes.record(Probe(.promptMask), given.mask, as: [1, given.mask.count])
            return try given.rows.rows(kept)
        }
    }
}
