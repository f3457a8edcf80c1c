import Files
package import Operations
import Tensors

/// How much memory a picture takes, stage by stage: known from the directory of the weights and the configuration, before any is read.
///
/// Stages come one after the other, so that the largest decides. Figures are resident bytes of the whole process, from above: no run takes more,
/// and with a prompt that is shorter than it may be it takes less. What a trace keeps is not counted. Each layer and operation says beside its
/// code what it takes; here is what comes together.
package struct MemoryStatement: Sendable, Equatable {
    package struct Stage: Sendable, Equatable {
        package let name: String
        /// Weights in the form in which they are computed with, and those on their way there.
        package let weightBytes: Int
        /// Activations, scratch of each thread, and what the stages before have left.
        package let workingBytes: Int
        /// Of the executor's own memory, weights and all else: the figures above are then of what is on its way. Nil where it computes in the process's.
        package var ownBytes: Int?
        /// With the process, and with what the system's allocator keeps of the buffers that have come and gone.
        package var byteCount: Int {
            let used = weightBytes + workingBytes
            return MemoryStatement.processBytes + used + min(MemoryStatement.mostKeptFree, used * 3 / 10)
        }
    }

    package let stages: [Stage]
    /// The most that any stage takes.
    package var byteCount: Int { stages.map(\.byteCount).max() ?? Self.processBytes }

    /// The most that any stage takes of the executor's own memory; nil where it has none.
    package var ownBytes: Int? { stages.compactMap(\.ownBytes).max() }

    /// The program, its libraries and the directory of the file.
    static let processBytes = 23 << 20
    /// glibc keeps holes between buffers of up to 32 MiB, and gives the end of its heap back when that has 64 MiB; OpenBLAS keeps a buffer for
    /// each thread.
    static let mostKeptFree = 160 << 20
}

extension Engine {
    /// What a job is going to take for a request, with all that is held.
    package func memoryStatement(_ request: GenerationRequest) throws(InferenceError) -> MemoryStatement {
        let (weights, configuration) = (pipeline.weights, pipeline.configuration)
        let decoder = try pipeline.decoder().configuration
        let sampler = try LatentSampler(request, configuration, compression: decoder.compression, frozen: pipeline.frozenSchedule, drawsNoise: false)
        let sizes = WeightSizes(weights, on: pipeline.executor, pipeline.compute)
        let (held, tokens) = (residency.holds, SanaSprintPrompt.defaultMaximumLength)
        // What the stages before leave: the tokenizer, and decoders of frames.
        let left = weights.readingBytes + Memory.restBytes + (residency.holdsTokenizer ? 0 : GemmaTokenizer.byteCount(ofText: weights.tokenizerByteCount))
        let isOwn = try allocating(try pipeline.executor.ownMemory()) != nil
        /// - Parameters:
        ///   - prefixes: of the weights' names.
        ///   - made: bytes of what is made of the results.
        ///   - moved: elements that come from an executor's own memory, or go there.
        func stage(_ name: String, _ footprint: Footprint, _ prefixes: [String], made: Int = 0, moved: Int) -> MemoryStatement.Stage {
            guard isOwn else {
                return MemoryStatement.Stage(name: name, weightBytes: residency.byteCount + footprint.kept, workingBytes: footprint.passing + made + left)
            }
            return MemoryStatement.Stage(
                name: name, weightBytes: sizes.largestOnItsWay(prefixes), workingBytes: 2 * Tensor.byteCount(moved) + made + left,
                ownBytes: residency.byteCount + footprint.peak)
        }

        var stages: [MemoryStatement.Stage] = []
        if request.promptFeatures == nil {
            guard let text = configuration.text else { throw .missingComponent(.textEncoder, needed: "read a prompt") }
            let isCached = request.useInstruction && (try? weights.promptPrefix()) != nil
            // Without the cache the instruction's tokens are computed too: about twice as many as a prompt may have.
            stages.append(
                stage(
                    "text encoder",
                    Gemma2Encoder.footprint(
                        text, weights.fusions, sizes.unrounded, tokens: isCached ? tokens : 3 * tokens, prefix: isCached ? 2 * tokens : 0, held),
                    ["text."], moved: 3 * tokens * (text.width + 2 * text.keyValueWidth)))
        }
        let readsPicture = if case .pixels? = request.control?.source { true } else { request.picture != nil }
        if readsPicture, let vae = configuration.vae {
            stages.append(
                stage(
                    "autoencoder's encoder",
                    AutoencoderEncoder<E>.footprint(
                        vae, weights.fusions, sizes.unrounded, height: sampler.shape[1] * vae.compression, width: sampler.shape[2] * vae.compression),
                    ["vae.enc."], moved: vae.imageChannels * sampler.shape[1] * sampler.shape[2] * vae.compression * vae.compression))
        }
        let transformer = SanaTransformer<E>.footprint(
            TransformerRows(configuration.transformer, weights.fusions, pipeline.frozenSchedule), configuration.transformer, sizes, latents: sampler.shape,
            tokens: tokens, prompts: pipeline.isGuidedAway(request) ? 2 : 1, keepsBlocks: residency.holdsSteps && sampler.steps > 1,
            repeats: residency.repeatsSteps(sampler.steps, of: weights, controlled: request.control != nil),
            control: request.control == nil ? nil : configuration.control, fusions: weights.fusions, held)
        stages.append(
            stage(
                "transformer", transformer, ["dit.", "control."], made: LatentSampler.byteCount(sampler.shape, sampler.steps),
                moved: tokens * configuration.transformer.captionChannels + sampler.shape.elementCount))
        let picture = AutoencoderDecoder<E>.footprint(decoder, weights.fusions, sizes.unrounded, height: sampler.shape[1], width: sampler.shape[2], held)
        let resized = sampler.size.map { $0.height * $0.width }
        let pixels = resized ?? sampler.shape[1] * sampler.shape[2] * decoder.compression * decoder.compression
        let made = resized.map { Tensor.byteCount(3 * $0) } ?? 0
        stages.append(
            stage(
                "autoencoder's decoder", picture, ["vae.dec."], made: made + PNGImage.workingBytes(pixels: pixels),
                moved: decoder.imageChannels * sampler.shape[1] * sampler.shape[2] * decoder.compression * decoder.compression))
        return MemoryStatement(stages: stages)
    }
}

// MARK: - Of layers alone

extension MemoryStatement {
    /// What the process takes that loads the layers of a model one at a time and runs each on a few rows, as the certificate's check does.
    /// - Parameter copies: models that run side by side.
    package static func layers(of weights: any WeightSource, copies: Int = 1, on executor: some Executor) -> Int {
        let sizes = WeightSizes(weights, on: executor, .float32)
        let layers = Set(weights.summaries.map { SanaSprintWeights.layer(of: $0.name) })
        let largest = layers.map { sizes.loading($0 + ".", held: { _ in false }).peak }.max() ?? 0
        let used = copies * (largest + weights.readingBytes) + GemmaTokenizer.byteCount(ofText: weights.tokenizerByteCount)
        return Stage(name: "layers", weightBytes: used, workingBytes: mostRows).byteCount
    }

    /// What comparing two traces takes that have these elements in their largest probe, with or without the model's layers beside.
    package static func comparison(largestProbe elements: Int, weights: (any WeightSource)?, on executor: some Executor) -> Int {
        // Stored, widened to float32 and to float64, of reference, other and yardstick.
        let probes = 3 * 16 * elements
        return weights.map { layers(of: $0, copies: 2, on: executor) + probes }
            ?? Stage(name: "probes", weightBytes: 0, workingBytes: probes).byteCount
    }

    /// The rows that a check runs, and what it compares them with.
    private static let mostRows = 32 << 20
}
