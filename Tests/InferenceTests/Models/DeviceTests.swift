import CUDADriver
import CUDAInference
import Conversion
import Operations
import Tensors
import TestKit
import Testing

@testable import Inference

/// Models on a GPU: the kernels that ship, on a driver that interprets them.
@Suite struct DeviceTests {
    private static let executor = Result { try CUDA(try Device(library: StandIn.library)) }

    /// One step of the trained model, two of the others.
    @Test("every probe is within the gates of the reference", arguments: [GoldenTests.goldens[0], GoldenTests.goldens[6], GoldenTests.goldens[7]])
    func goldens(_ golden: GoldenTests.Golden) throws { try GoldenTests.check(golden, on: try Self.executor.get()) }

    /// int8 is below: one code that falls to the other side of a half changes all behind it.
    @Test("pictures of float weights are at most a level from the CPU's, in few places", arguments: [Preset.fp32, .bf16])
    func pictures(_ preset: Preset) throws {
        var request = GenerationRequest(prompt: "a large red circle on a blue background", noise: .seed(0))
        (request.width, request.height) = (64, 64)
        let weights = try ConvertedWeights.packed(preset)
        let expected = try SanaSprintPipeline(weights: weights, on: .best).generate(request)
        let found = try SanaSprintPipeline(weights: weights, on: try Self.executor.get()).generate(request)
        let differences = zip(found.rgb, expected.rgb).map { (Int($0) - Int($1)).magnitude }
        let count = differences.count { $0 > 0 }
        #expect(differences.count == expected.rgb.count && differences.allSatisfy { $0 <= 1 } && count <= 5, "\(count) of \(differences.count) values differ")
    }

    /// Layers of codes have the CPU's bits (CUDAInferenceTests), what is between them does not: the model then is another sample of the same rounding.
    @Test("int8 is as near to float32 as on the CPU, and its decoder's picture too") func integers() throws {
        let trace = try TraceFixture(GoldenTests.goldens[0].float32)
        var request = try trace.request()
        request.promptFeatures = try trace.promptFeatures()
        let weights = try ConvertedWeights.int8()
        let (exact, near, far) = (Recorder(), Recorder(), Recorder())
        let device = try SanaSprintPipeline(weights: weights, on: try Self.executor.get()), host = try SanaSprintPipeline(weights: weights, on: .best)
        let float32 = try SanaSprintPipeline(weights: TableWeights(GoldenTests.tiny), on: .best)
        _ = try float32.generate(request, probes: exact)
        _ = try host.generate(request, probes: near)
        _ = try device.generate(request, probes: far)
        #expect(Set(far.values.keys) == Set(near.values.keys))
        for (name, value) in far.values where value.dtype == .f32 {
            let truth = try exact.floats(name).elements.map(Double.init)
            let (error, expected) = (relativeError(try value.widened().elements, truth), relativeError(try near.floats(name).elements, truth))
            #expect(error <= 1.25 * expected + GoldenTests.float32Gate, "\(name): \(error), on the CPU \(expected)")
        }
        let batched = try trace.floats("latents")
        let latents = batched.reshaped(Shape(Array(batched.shape.extents.dropFirst())))
        // Codes flip where sums are rounded in another order, as they do between the CPU's instruction sets: levels are off by one then, to either side.
        let pictures = try (found: device.decode(latents), near: host.decode(latents), truth: float32.decode(latents))
        func differences(_ left: Picture, _ right: Picture) -> [Int] { zip(left.rgb, right.rgb).map { abs(Int($0) - Int($1)) } }
        func power(_ differences: [Int]) -> Double { differences.reduce(0) { $0 + Double($1 * $1) } }
        let apart = differences(pictures.found, pictures.near)
        #expect(apart.allSatisfy { $0 <= 1 }, "at most \(apart.max() ?? 0)")
        let (error, expected) = (power(differences(pictures.found, pictures.truth)), power(differences(pictures.near, pictures.truth)))
        #expect(error <= 1.25 * expected, "\(error), on the CPU \(expected)")
    }

    /// Both round the same operands; where sums differ in their last bits, a value between two layers may be the next one of its type.
    @Test("products in 16 bits are as near to float32 as on the CPU", arguments: [Compute.bfloat16, .float16]) func halves(_ compute: Compute) throws {
        let weights = try TableWeights(GoldenTests.tiny)
        let c = try SanaSprintPipeline(weights: weights, on: .best).configuration.transformer
        var random = SplitMix64(seed: 64)
        let (latents, features) = (try random.tensor([c.channels, 6 * c.patch, 5 * c.patch]), try random.tensor([9, c.captionChannels]))
        func velocity(_ compute: Compute, on executor: some Executor) throws -> Tensor {
            let model = try SanaSprintPipeline(weights: weights, on: executor, compute: compute).transformer()
            return try model.velocity(latents, time: 0.7, guidance: 4.5, prompt: try model.prompt(features))
        }
        let (exact, near) = (try velocity(.float32, on: .best).elements.map(Double.init), try velocity(compute, on: .best))
        let far = try velocity(compute, on: try Self.executor.get())
        let (error, expected) = (relativeError(far.elements, exact), relativeError(near.elements, exact))
        #expect(error <= 1.25 * expected && expected <= 1.25 * error, "\(error), on the CPU \(expected)")
        #expect(relativeError(far.elements, near.elements.map(Double.init)) < expected)
    }

    @Test("steps that are done again have the same bits, with and without a picture to follow", arguments: [false, true])
    func again(isControlled: Bool) throws {
        let weights = try ConvertedWeights.packed(.int8, controlled: true)
        let executors = [true, false].map { records in Result { try CUDA(try Device(library: StandIn.library), records: records) } }
        let results = try executors.map { executor in
            let pipeline = try SanaSprintPipeline(weights: weights, on: try executor.get())
            let c = pipeline.configuration.transformer
            var random = SplitMix64(seed: 65)
            let built = BuiltLayers()
            return try (0..<4).map { step in
                // As each job makes one, of layers that stay.
                let model = try pipeline.transformer(built, isControlled: isControlled)
                let (latents, features) = (
                    try random.tensor([c.channels, 4 * c.patch, 3 * c.patch]), try random.tensor([step < 2 ? 5 : 6, c.captionChannels])
                )
                let prompt = try model.prompt(features)
                let hint = isControlled ? try model.hint(try random.tensor(latents.shape), scale: 0.5) : nil
                return try [0.9, 0.4].map { time in
                    try model.velocity(latents, time: time, guidance: 4.5, prompt: prompt, hint: hint).elements.map(\.bitPattern)
                }
            }
        }
        #expect(results[0] == results[1])
        // Eight steps of two kinds, of which the first is done as any other work.
        #expect(try executors[0].get().engine.launches == 6 && executors[1].get().engine.launches == 0)
    }

    @Test("a series takes what it says, whose steps are done again") func series() throws {
        let executor = try CUDA(try Device(library: StandIn.library))
        let engine = Engine(try SanaSprintPipeline(weights: try ConvertedWeights.int8(), on: executor), residentBytes: .max)
        var request = try TraceFixture(GoldenTests.goldens[1].float32).request()
        let stated = try #require(try engine.memoryStatement(request).ownBytes)
        for seed in 0..<3 {
            request.noise = .seed(UInt64(seed))
            _ = try engine.run(Job(request))
            #expect(executor.engine.bytes.peak <= stated, "\(executor.engine.bytes.peak) of \(stated)")
        }
        #expect(executor.engine.launches > 0)
    }

    @Test("what stages say that they take of the device bounds what they take", arguments: [Preset.int8, .bf16])
    func footprints(_ preset: Preset) throws {
        let folder = try TemporaryFolder()
        let executor = try CUDA(try Device(library: try StandIn.copy(in: folder)))
        let weights = try ConvertedWeights.packed(preset, controlled: true)
        for compute in preset == .bf16 ? Compute.allCases : [.float32] {
            let pipeline = try SanaSprintPipeline(weights: weights, on: executor, compute: compute)
            let sizes = WeightSizes(weights, on: executor, compute)
            let (c, fusions) = (pipeline.configuration, weights.fusions)
            let (text, vae) = (try #require(c.text), try #require(c.vae))
            func check(_ part: String, _ stated: Footprint, _ body: () throws -> Void) throws {
                let before = executor.engine.bytes.inUse
                executor.engine.restartPeak()
                try body()
                let counted = executor.engine.bytes.peak - before
                #expect(counted <= stated.peak && Double(stated.peak) <= 1.5 * Double(counted), "\(preset) \(compute) \(part): \(counted) of \(stated)")
            }
            let (tokens, height, width) = (37, 3, 5)
            let features = try Tensor([tokens, c.transformer.captionChannels]), latents = try Tensor([c.transformer.channels, height, width])
            try check("text", Gemma2Encoder.footprint(text, fusions, sizes.unrounded, tokens: tokens, prefix: 0) { _ in false }) {
                _ = try pipeline.textEncoder().encode((0..<tokens).map { Int32($0) })
            }
            let transformer = SanaTransformer<CUDA>.footprint(
                TransformerRows(c.transformer, fusions, nil), c.transformer, sizes, latents: latents.shape, tokens: tokens, keepsBlocks: false
            ) { _ in false }
            try check("transformer", transformer) {
                let model = try pipeline.transformer()
                _ = try model.velocity(latents, time: 0.5, guidance: 4.5, prompt: try model.prompt(features))
            }
            let controlled = SanaTransformer<CUDA>.footprint(
                TransformerRows(c.transformer, fusions, nil), c.transformer, sizes, latents: latents.shape, tokens: tokens, keepsBlocks: false,
                control: c.control, fusions: fusions
            ) { _ in false }
            try check("controlled", controlled) {
                let model = try pipeline.transformer(isControlled: true)
                let (prompt, hint) = (try model.prompt(features), try model.hint(latents, scale: 0.5))
                _ = try model.velocity(latents, time: 0.5, guidance: 4.5, prompt: prompt, hint: hint)
            }
            try check("decoder", AutoencoderDecoder<CUDA>.footprint(vae, fusions, sizes.unrounded, height: height, width: width) { _ in false }) {
                _ = try pipeline.decoder().decode(try Tensor([vae.latentChannels, height, width]))
            }
            let pixels = try Tensor([3, height * vae.compression, width * vae.compression])
            let encoder = AutoencoderEncoder<CUDA>.footprint(
                vae, fusions, sizes.unrounded, height: height * vae.compression, width: width * vae.compression)
            try check("encoder", encoder) { _ = try pipeline.encoder().encode(pixels) }
        }
    }

    @Test("a device without memory for a picture says so once") func memory() throws {
        let folder = try TemporaryFolder()
        let executor = try CUDA(try Device(2, library: try StandIn.copy(in: folder)))
        var request = try TraceFixture(GoldenTests.goldens[1].float32).request()
        (request.width, request.height, request.noise) = (256, 256, .seed(1))
        let pipeline = try SanaSprintPipeline(weights: try ConvertedWeights.int8(), on: executor)
        let error = #expect(throws: InferenceError.self) { _ = try pipeline.generate(request) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.ranges(of: "out of GPU memory").count == 1 && text.ranges(of: "expected").count == 1, "\(text)")
    }
}
