import Operations
package import Tensors

/// How much memory a picture takes, stage by stage: known from the directory of the weights and the configuration, before any is read.
///
/// Stages come one after the other, so that the largest decides. Figures are resident bytes of the whole process, from above: no run takes more,
/// and with a prompt that is shorter than it may be it takes less. What a trace keeps is not counted.
package struct MemoryStatement: Sendable, Equatable {
    package struct Stage: Sendable, Equatable {
        package let name: String
        /// Weights in the form in which they are computed with, and those on their way there.
        package let weightBytes: Int
        /// Activations, scratch of each thread, and what the stages before have left.
        package let workingBytes: Int
        /// With the process, and with what the system's allocator keeps of the buffers that have come and gone.
        package var byteCount: Int {
            let used = weightBytes + workingBytes
            return MemoryStatement.processBytes + used + min(MemoryStatement.mostKeptFree, used * 3 / 10)
        }
    }

    package let stages: [Stage]
    /// The most that any stage takes.
    package var byteCount: Int { stages.map(\.byteCount).max() ?? Self.processBytes }

    /// The program, its libraries and the directory of the file.
    static let processBytes = 22 << 20
    /// glibc keeps holes between buffers of up to 32 MiB, and gives the end of its heap back when that has 64 MiB; OpenBLAS keeps a buffer for
    /// each thread.
    static let mostKeptFree = 160 << 20
    /// Each thread's room for the frames it reads.
    static let threadBytes = 5 << 19

    /// A tokenizer's text, read and copied, and the tables of pieces and merges that are made of it.
    static func tokenizerBytes(_ weights: any WeightSource) -> Int { 4 * weights.tokenizerByteCount }

    /// A prompt's keys and values for all blocks, in panels of 32 tokens, and its caption.
    static func promptBytes(_ c: TransformerConfiguration) -> Int {
        let tokens = SanaSprintPrompt.defaultMaximumLength
        return MemoryLayout<Float>.stride * ((tokens + 31) / 32 * 32 * 2 * c.crossWidth * (c.layers + 1) + tokens * c.width)
    }
}

/// One weight as a source describes it without reading it.
package struct WeightSummary: Sendable {
    let name: String
    let role: Role
    let shape: Shape
    /// Bytes of its planes when they are decoded.
    let planeBytes: Int
    let form: KernelForm

    /// Whether linears read the planes as they are.
    fileprivate var isLoadedAsStored: Bool {
        !form.multipliesIntegers && (form != .float32 || planeBytes == shape.elementCount * MemoryLayout<Float>.stride)
    }

    /// Whether it may stay in memory: not where only some rows of it are read, nor where what it computes of a prompt stays instead.
    var isKept: Bool { role != .embedding && !isOfPrompt }

    /// Whether it makes a prompt's keys and values.
    fileprivate var isOfPrompt: Bool { name.hasPrefix("dit.blocks.") && (name.contains(".cross.k") || name.contains(".cross.v")) }

    /// Whether its products are rounded with `Compute.bfloat16`: the transformer's, but for the networks of time and guidance.
    private var isRounded: Bool { name.hasPrefix("dit.") && !["dit.time.", "dit.guidance.", "dit.modulation."].contains(where: name.hasPrefix) }

    /// Bytes of the layer that is made of it.
    func loadedBytes(_ compute: Compute) -> Int {
        // Panels are of 32 channels, and each channel has a scale, a correction and a bias.
        let padded = shape.columns * ((shape.rows + 31) / 32 * 32)
        if form.multipliesIntegers { return padded + 16 * shape.rows }
        switch role {
        case .linear, .gatedLinear, .textLinear, .sensitiveLinear:
            return compute == .bfloat16 && isRounded ? 2 * padded : isLoadedAsStored ? planeBytes : shape.elementCount * MemoryLayout<Float>.stride
        case .embedding: return 0
        // Of nine taps Winograd's algorithm makes sixteen.
        case .convolution where shape.rank == 4: return padded / 9 * 16 * MemoryLayout<Float>.stride
        case .convolution, .sensitiveConvolution: return padded * MemoryLayout<Float>.stride
        case .groupedConvolution, .depthwise, .bias, .norm, .table, .schedule: return shape.elementCount * MemoryLayout<Float>.stride
        }
    }
}

extension WeightSummary {
    /// A weight in float32.
    package init(name: String, role: Role, shape: Shape) {
        self.init(name: name, role: role, shape: shape, planeBytes: shape.elementCount * MemoryLayout<Float>.stride, form: .float32)
    }
}

// MARK: - Of a request

extension Engine {
    /// What a job is going to take for a request, with all that is held.
    package func memoryStatement(_ request: GenerationRequest) throws(InferenceError) -> MemoryStatement {
        let (weights, configuration) = (pipeline.weights, pipeline.configuration)
        let compression = try pipeline.decoder().configuration.compression
        let sampler = try LatentSampler(request, configuration, compression: compression, frozen: pipeline.frozenSchedule, drawsNoise: false)
        let room = WorkingMemory(pipeline, residency)
        let (height, width) = (sampler.shape[1], sampler.shape[2])
        var stages: [MemoryStatement.Stage] = []
        if request.promptFeatures == nil {
            let isCached = request.useInstruction && (try? weights.promptPrefix()) != nil
            stages.append(try room.text(isCached: isCached))
        }
        stages.append(room.transformer(height: height, width: width, steps: sampler.steps))
        stages.append(try room.decoder(height: height, width: width))
        return MemoryStatement(stages: stages)
    }
}

/// The stages' needs. What a layer holds at once stands beside each sum.
private struct WorkingMemory {
    private let summaries: [WeightSummary]
    private let residency: Residency
    private let compute: Compute
    private let configuration: SanaSprintConfiguration
    private let tokenizerBytes: Int
    private let threads = Parallel.threads
    /// Of a gated unit, as many as are there at once.
    private let wideMaps: Int

    /// Positions of a prompt that the transformer sees at most.
    private let tokens = SanaSprintPrompt.defaultMaximumLength

    init(_ pipeline: SanaSprintPipeline<some Executor>, _ residency: Residency) {
        summaries = pipeline.weights.summaries
        wideMaps = pipeline.executor.wideMaps
        tokenizerBytes = residency.holdsTokenizer ? 0 : MemoryStatement.tokenizerBytes(pipeline.weights)
        compute = pipeline.compute
        configuration = pipeline.configuration
        self.residency = residency
    }

    private func floats(_ count: Int) -> Int { count * MemoryLayout<Float>.stride }

    private func weights(_ prefix: String) -> [WeightSummary] { summaries.filter { $0.name.hasPrefix(prefix) } }

    /// Bytes of the layers that come and go.
    private func loaded(_ weights: [WeightSummary]) -> Int { weights.reduce(0) { $0 + (residency.holds($1) ? 0 : $1.loadedBytes(compute)) } }

    /// A stage, beside what is held.
    private func stage(_ name: String, weightBytes: Int, workingBytes: Int) -> MemoryStatement.Stage {
        MemoryStatement.Stage(name: name, weightBytes: residency.byteCount + weightBytes, workingBytes: workingBytes)
    }

    /// The largest of layers whose weights are let go before the next one's come: the loaded layer and what of it is read at once.
    private func largestPassing(_ prefix: String, _ count: Int) -> Int {
        (0..<count).map { index in
            let layer = weights("\(prefix)\(SanaSprintWeights.number(index)).")
            return loaded(layer) + staging(layer)
        }.max() ?? 0
    }

    /// The decoded planes of the largest weight that is loaded in another form.
    private func staging(_ weights: [WeightSummary]) -> Int {
        weights.filter { !$0.isLoadedAsStored || $0.role == .convolution }.map(\.planeBytes).max() ?? 0
    }

    func text(isCached: Bool) throws(InferenceError) -> MemoryStatement.Stage {
        guard let c = configuration.text else { throw .missingComponent(.textEncoder, needed: "read a prompt") }
        // Without the cache the instruction's tokens are computed too: about as many as a prompt may have.
        let rows = isCached ? tokens : 3 * tokens
        let keyValues = floats((rows + 2 * tokens) * 2 * c.keyValueWidth)
        // The stream, its norm, projections, attention and its output; or gate and up, their product and its output.
        let activations = floats(rows * max(4 * c.width + 2 * c.queryWidth + 2 * c.keyValueWidth, 3 * c.width + 3 * c.hidden)) + 2 * keyValues
        // Beyond a few rows, groups of channels are decoded into floats, and packed.
        let scratch = threads * (floats(224 * max(c.hidden, c.width)) + floats(min(rows, 1024) * (rows + tokens)) + MemoryStatement.threadBytes)
        return stage("text encoder", weightBytes: largestPassing("text.layers.", c.layers), workingBytes: activations + scratch + tokenizerBytes)
    }

    func transformer(height: Int, width: Int, steps: Int) -> MemoryStatement.Stage {
        let c = configuration.transformer
        let (blocks, all) = (weights("dit.blocks."), weights("dit."))
        // Keys and values of the prompt are kept in place of the weights that compute them.
        let keepsBlocks = residency.holdsSteps && steps > 1
        let kept = keepsBlocks ? loaded(blocks.filter { !$0.isOfPrompt }) + staging(blocks) : largestPassing("dit.blocks.", c.layers)
        let keyValues = MemoryStatement.promptBytes(c)
        let rows = height * width / (c.patch * c.patch)
        // The stream; its packed norm, q, k, v, their attention packed and sums of its output; or the wide maps and sums.
        let activations = floats(rows * (c.width + max(7 * c.width, wideMaps * c.hidden + 3 * c.width)))
        let latents = floats(c.channels * height * width) * (steps + 8)
        let scratch = threads * (floats(rows * 80) + floats(256 * max(c.hidden, c.width)) + MemoryStatement.threadBytes)
        return stage(
            "transformer", weightBytes: loaded(all) - loaded(blocks) + kept,
            workingBytes: activations + latents + keyValues + scratch + tokenizerBytes)
    }

    func decoder(height: Int, width: Int) throws(InferenceError) -> MemoryStatement.Stage {
        guard let c = configuration.vae else { throw .missingComponent(.vaeDecoder, needed: "make a picture of latents") }
        let stages = c.decoder.stages
        var most = 0
        var (pixels, columns) = (height * width, width)
        var residual = 0
        var rings = 0
        for index in stages.indices.reversed() {
            let stage = stages[index]
            if index + 1 < stages.count { (pixels, columns) = (4 * pixels, 2 * columns) }
            let weights = weights("vae.dec.stage.\(index).")
            guard stage.kind == .efficientViT else {
                residual += loaded(weights)
                // Two rings for each block and one for the up-sampling: rows of floats, and quantized.
                let lines = max(4, min(64, 4096 / columns)) + 4
                rings += (2 * stage.blocks + 1) * 2 * lines * (columns + 2) * stage.channels * 5
                continue
            }
            // The map; q, k, v, the same through the depthwise and the pointwise convolution, and attention to each; or the gated unit.
            let scales = stage.scales.count
            let attention = 3 + (scales > 0 ? 6 : 0) + 1 + scales
            let gated = wideMaps * AutoencoderRows.gluExpansion + 2
            let map = floats(pixels * stage.channels * (1 + max(attention, gated)))
            let scratch = threads * (floats(pixels * 80) + floats(256 * AutoencoderRows.gluExpansion * stage.channels))
            most = max(most, map + scratch + loaded(weights) / max(1, stage.blocks) + staging(weights))
        }
        // The last map of the attention stages, the picture twice, and all rows between.
        let first = stages.last { $0.kind == .efficientViT } == nil ? stages.count - 1 : stages.lastIndex { $0.kind == .residual } ?? 0
        let input = pixels >> (2 * (first + 1)) * (first + 1 < stages.count ? stages[first + 1].channels : c.latentChannels)
        let stream = floats(input) + floats(3 * c.imageChannels * pixels) + rings + threads * MemoryStatement.threadBytes
        // The picture in bytes, its rows as PNG filters them, the compressed file and its copies on the way.
        let file = 10 * pixels
        return stage(
            "autoencoder's decoder", weightBytes: residual + staging(weights("vae.dec.")), workingBytes: max(most, stream) + file + tokenizerBytes)
    }
}
