import Conversion
import Glibc
import Operations
import Tensors
import Testing

@testable import Inference

/// Bytes of buffers that are left of `body`, and the most while it ran, from what is in use.
private func counted<Value>(_ body: () throws -> Value) rethrows -> (value: Value, kept: Int, peak: Int) {
    let before = Memory.inUse
    _ = Memory.restartPeak()
    let value = try body()
    return (value, Memory.inUse - before, Memory.peak - before)
}

/// Says what does not hold: of a process whose expectations nobody sees.
private func hold(_ condition: Bool, _ message: @autoclosure () -> String) {
    guard !condition else { return }
    let line = Array((message() + "\n").utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// What layers and stages say that they take, against the buffers that are counted while they do.
@Suite struct FootprintTests {
    @Test("a loaded layer", arguments: [Preset.int8, .compact, .bf16, .fp32], [1, 2]) func layers(preset: Preset, threads: Int) async {
        // In a process of its own: other tests allocate too.
        let run = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            [name = preset.rawValue as String, threads = threads as Int] in
            Parallel.use(threads: threads)
            let weights = try ConvertedWeights.packed(try #require(Preset(rawValue: name)))
            // Decoders of frames are made by the first who need them.
            for summary in weights.summaries { _ = try weights.weight(summary.name) }
            for (executor, compute) in CPU.every.flatMap({ executor in Compute.allCases.map { (executor, $0) } }) {
                let loader = WeightLoader(source: weights, on: executor, compute: compute)
                for summary in weights.summaries where summary.role != .embedding {
                    let row = WeightRow(name: summary.name, shape: summary.size.shape, role: summary.role, recipe: .rows([]))
                    let rows = Parameters(row.name, weight: row, bias: nil)
                    guard summary.isRounded || compute == .float32 else { continue }
                    let stated = summary.footprint(compute, on: executor)
                    let (layer, kept, peak) = try counted { try loader.any(rows) }
                    let run = "\(name) \(executor) \(compute) \(threads) \(row.name) \(row.shape)"
                    hold(kept <= stated.kept + Memory.restBytes && peak <= stated.peak + Memory.restBytes, "\(run): \(kept), \(peak) of \(stated)")
                    // What is cut in two may be too small for whole pages.
                    hold(stated.kept <= kept + 4096, "\(run): \(kept) of \(stated)")
                    withExtendedLifetime(layer) {}
                }
            }
        }
        #expect(run.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } == "")
    }

    @Test("a stage", arguments: [Preset.int8, .compact, .bf16, .fp32], [1, 2]) func stages(preset: Preset, threads: Int) async {
        let run = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            [name = preset.rawValue as String, threads = threads as Int] in
            Parallel.use(threads: threads)
            let weights = try ConvertedWeights.packed(try #require(Preset(rawValue: name)), controlled: true)
            for summary in weights.summaries { _ = try weights.weight(summary.name) }
            for executor in CPU.every {
                for compute in executor == .best ? Compute.allCases : [.float32] {
                    let pipeline = try SanaSprintPipeline(weights: weights, on: executor, compute: compute)
                    let sizes = WeightSizes(weights, on: executor, compute)
                    let (c, fusions, run) = (pipeline.configuration, weights.fusions, "\(name) \(executor) \(compute) \(threads)")
                    let (text, vae) = (try #require(c.text), try #require(c.vae))
                    var random = SystemRandomNumberGenerator()
                    // Rests are of stages before. Stated is up to 1.25 of what is counted: weights and work have their most at different
                    // times, and a convolution that is never transformed is stated as if it were.
                    func check(_ part: String, _ footprint: Footprint, _ counted: Int) {
                        hold(counted <= footprint.peak + Memory.restBytes, "\(run) \(part): \(counted) of \(footprint)")
                        hold(counted < 2 << 20 || Double(footprint.peak) <= 1.4 * Double(counted), "\(run) \(part): \(counted) of \(footprint)")
                    }
                    // Every executor has maps beyond what goes uncounted; the largest, which differ from them in nothing but time, the best with two threads.
                    let isBest = executor == .best && threads == 2
                    for tokens in isBest ? [1, 77, 300] : [1, 77] {
                        let ids = (0..<tokens).map { _ in Int32.random(in: 0..<Int32(text.vocabulary), using: &random) }
                        let encoder = try pipeline.textEncoder()
                        let (features, _, peak) = try counted { try encoder.encode(ids) }
                        check("text \(tokens)", Gemma2Encoder.footprint(text, fusions, sizes.unrounded, tokens: tokens, prefix: 0) { _ in false }, peak)
                        for (height, width) in tokens == 77 ? [(1, 1), (8, 12)] + (isBest ? [(24, 16)] : []) : [(9, 5)] {
                            let latents = try Tensor([c.transformer.channels, height, width])
                            let (velocity, _, peak) = try counted {
                                let transformer = try pipeline.transformer()
                                return try transformer.velocity(latents, time: 0.5, guidance: 4.5, prompt: try transformer.prompt(features))
                            }
                            let stated = SanaTransformer<CPU>.footprint(
                                TransformerRows(c.transformer, fusions, nil), c.transformer, sizes, latents: latents.shape, tokens: tokens, prompts: 1,
                                keepsBlocks: false
                            ) { _ in false }
                            check("transformer \(tokens) \(height) \(width)", stated, peak)
                            withExtendedLifetime(velocity) {}
                            guard tokens == 77 else { continue }
                            let (_, _, controlledPeak) = try counted {
                                let transformer = try pipeline.transformer(isControlled: true)
                                let (prompt, hint) = (try transformer.prompt(features), try transformer.hint(latents, scale: 0.5))
                                return try transformer.velocity(latents, time: 0.5, guidance: 4.5, prompt: prompt, hint: hint)
                            }
                            let controlled = SanaTransformer<CPU>.footprint(
                                TransformerRows(c.transformer, fusions, nil), c.transformer, sizes, latents: latents.shape, tokens: tokens, keepsBlocks: false,
                                control: c.control, fusions: fusions
                            ) { _ in false }
                            check("controlled \(tokens) \(height) \(width)", controlled, controlledPeak)
                        }
                    }
                    let prefix = PromptPrefix(index: .init(ids: Array(repeating: 2, count: 65), contentHash: ""), first: try Tensor([1, text.width])) {
                        (_) throws(InferenceError) in try allocating(try Tensor([65, 2 * text.keyValueWidth]))
                    }
                    let (_, _, peak) = try counted { try pipeline.textEncoder().encode(prefix.ids + Array(repeating: 3, count: 33), after: prefix) }
                    check("text behind a prefix", Gemma2Encoder.footprint(text, fusions, sizes.unrounded, tokens: 33, prefix: 65) { _ in false }, peak)
                    for (height, width) in [(1, 1), (3, 5), (8, 12)] + (isBest ? [(24, 16)] : []) {
                        let latents = try Tensor([vae.latentChannels, height, width])
                        let (picture, _, peak) = try counted { try pipeline.decoder().decode(latents) }
                        let stated = AutoencoderDecoder<CPU>.footprint(vae, fusions, sizes.unrounded, height: height, width: width) { _ in false }
                        check("decoder \(height) \(width)", stated, peak)
                        withExtendedLifetime(picture) {}
                        let pixels = try Tensor([3, height * vae.compression, width * vae.compression])
                        let (encoded, _, encoderPeak) = try counted { try pipeline.encoder().encode(pixels) }
                        let encoder = AutoencoderEncoder<CPU>.footprint(
                            vae, fusions, sizes.unrounded, height: height * vae.compression, width: width * vae.compression)
                        check("encoder \(height) \(width)", encoder, encoderPeak)
                        withExtendedLifetime(encoded) {}
                    }
                }
            }
        }
        #expect(run.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } == "")
    }
}

extension WeightLoader {
    /// The layer of a row by its role.
    fileprivate func any(_ rows: Parameters) throws -> Any {
        switch rows.weight.role {
        case .convolution where rows.weight.shape.rank == 4: try convolution(rows, often: true)
        case .sensitiveConvolution: try convolution(rows)
        case .linear, .convolution: try halves(rows)
        case .gatedLinear, .textLinear, .sensitiveLinear: try linear(rows)
        case .depthwise: try depthwise(rows)
        case .groupedConvolution: try pointwise(rows)
        case .embedding, .bias, .norm, .table, .schedule: try self.rows(rows.weight)
        }
    }
}
