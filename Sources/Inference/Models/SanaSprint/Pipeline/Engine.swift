import Dispatch
package import Operations
import Synchronization
package import Tensors

/// An opened model that makes pictures, one job after the other, and holds what the next one needs.
///
/// Jobs of several threads wait for their turn: each uses all processors, so that side by side they would end no sooner, and take the memory of
/// their activations twice. So a job takes what its statement says, whoever else is waiting.
package final class Engine<E: Executor>: Sendable {
    let pipeline: SanaSprintPipeline<E>
    let residency: Residency
    private let built: BuiltLayers
    private let turn = DispatchSemaphore(value: 1)
    private let read = Mutex(Reading())

    /// What is held of the text before the transformer.
    private struct Reading: Sendable {
        var tokenizer: GemmaTokenizer?
        /// Features of no words, a row or two.
        var negative: Tensor?
        var prompt: (key: PromptKey, value: GuidedPrompt<E>, events: [GenerationStage])?
    }

    /// All that the values of a prompt depend on. Texts are compared by their bytes: the tokenizer tells apart what Unicode holds equal.
    private struct PromptKey: Sendable, Equatable {
        let text: [UInt8]
        let useInstruction: Bool
        let usePrefixCache: Bool
        let isGuided: Bool
        /// Whether a control network is told it too.
        let isControlled: Bool

        /// Nil where the prompt is not read, and where somebody follows how.
        init?(_ job: Job) {
            guard job.request.promptFeatures == nil, job.probes.sink == nil else { return nil }
            (text, useInstruction, usePrefixCache) = (Array(job.request.prompt.utf8), job.request.useInstruction, job.request.usePrefixCache)
            isGuided = ClassifierFreeGuidance.isOn(Double(job.request.guidance))
            isControlled = job.request.control != nil
        }
    }

    /// - Parameter residentBytes: the most that may be held to be used again, by the next step or the next job: tokenizer, last prompt and weights
    ///   (`Residency`). Nil for single pictures: nothing is held after a job, and in one of several steps the transformer, whatever it takes.
    package init(_ pipeline: SanaSprintPipeline<E>, residentBytes: Int? = nil) {
        self.pipeline = pipeline
        residency = pipeline.residency(residentBytes)
        built = BuiltLayers(parts: residency.parts)
    }

    /// The most that is held between jobs.
    var residentBytes: Int { residency.byteCount }

    /// Makes a picture.
    ///
    /// - Throws: `.cancelled` for a job that was. The engine then holds whole layers only, and can be used again.
    package func run(_ job: Job) throws(InferenceError) -> Picture {
        while turn.wait(timeout: .now() + .milliseconds(20)) == .timedOut { try job.checkCancelled() }
        defer { turn.signal() }
        try job.checkCancelled()
        let decoder = try pipeline.decoder(built)
        let compression = decoder.configuration.compression
        let sampler = try LatentSampler(job.request, pipeline.configuration, compression: compression, frozen: pipeline.frozenSchedule)
        let latents = try sample(sampler, job)
        try job.begin(.decoding)
        let picture = try pipeline.decode(latents, decoder, size: sampler.size, job.probes)
        if job.probes.sink != nil, pipeline.has(.vaeEncoder) {
            try job.begin(.encoding)
            let input = job.request.encoderPicture ?? picture
            let pixels = try allocating(try Pixels.tensor(input))
            _ = try pipeline.encoder().encode(pixels, probes: job.probes)
        }
        return picture
    }

    /// The transformer is let go at the end, but for what is held.
    private func sample(_ sampler: LatentSampler, _ job: Job) throws(InferenceError) -> Tensor {
        let built = residency.holdsSteps && sampler.steps > 1 ? BuiltLayers() : built
        let key = PromptKey(job)
        let picture = try job.request.picture.map { pixels throws(InferenceError) in try pipeline.latents(of: pixels, sampler.shape, "picture", job) }
        let control = try job.request.control.map { control throws(InferenceError) in
            (latents: try pipeline.controlLatents(control, sampler.shape, job), scale: control.scale)
        }
        func run(_ transformer: SanaTransformer<E>, _ prompt: GuidedPrompt<E>) throws(InferenceError) -> Tensor {
            let hint = try control.map { control throws(InferenceError) in
                try transformer.hint(control.latents, scale: control.scale, probes: job.probes)
            }
            return try sampler.run(transformer, prompt, hint, from: picture, for: job)
        }
        if let known = read.withLock({ $0.prompt }), known.key == key {
            for event in known.events { try job.begin(event) }
            try job.begin(.loadingTransformer)
            return try run(try pipeline.transformer(built, isControlled: control != nil, job.probes), known.value)
        }
        // One prompt is held at a time.
        read.withLock { $0.prompt = nil }
        var events: [GenerationStage] = []
        let features = try pipeline.promptFeatures(job.heard { events.append($0) }, tokenizer, built)
        let negative = pipeline.isGuidedAway(job.request) ? try negativeFeatures() : nil
        try job.begin(.loadingTransformer)
        let transformer = try pipeline.transformer(built, isControlled: control != nil, job.probes)
        let prompt = GuidedPrompt(
            words: try transformer.prompt(features, probes: job.probes),
            negative: try negative.map { features throws(InferenceError) in try transformer.prompt(features, probes: job.probes.unheard) })
        if let key, residency.holdsPrompt { read.withLock { [events] in $0.prompt = (key, prompt, events) } }
        return try run(transformer, prompt)
    }

    private func negativeFeatures() throws(InferenceError) -> Tensor {
        if let known = read.withLock({ $0.negative }) { return known }
        let features = try pipeline.promptFeatures(of: [""], withInstruction: false)[0]
        read.withLock { $0.negative = features }
        return features
    }

    private func tokenizer() throws(InferenceError) -> GemmaTokenizer {
        if let known = read.withLock({ $0.tokenizer }) { return known }
        let tokenizer = try pipeline.tokenizer()
        if residency.holdsTokenizer { read.withLock { $0.tokenizer = tokenizer } }
        return tokenizer
    }
}
