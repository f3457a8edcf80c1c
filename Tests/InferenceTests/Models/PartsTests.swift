import Operations
import Tensors
import TestKit
import Testing

@testable import Inference

/// The entry points that run one part of a model from given inputs.
@Suite struct PartsTests {
    private static let gate = 1e-5
    private let trace: TraceFixture
    private let weights: TableWeights

    init() throws {
        trace = try TraceFixture("tiny-sprint/goldens/steps1.safetensors")
        weights = try TableWeights("tiny-sprint")
    }

    private func pipeline(_ executor: CPU) throws -> SanaSprintPipeline<CPU> { try SanaSprintPipeline(weights: weights, on: executor) }

    private func expect(_ result: Tensor, equals name: String) throws {
        #expect(relativeError(result.elements, try trace.floats(name).elements.map(Double.init)) <= Self.gate, "\(name)")
    }

    @Test(arguments: CPU.each) func eachBlockOfTheTransformerFromItsOwnInput(_ executor: CPU) throws {
        let pipeline = try pipeline(executor)
        let (parts, configuration) = (pipeline.parts, pipeline.configuration.transformer)
        let width = configuration.width
        let modulation = try trace.floats("dit.step0.modulation").reshaped([6, width])
        let rows = try trace.kept("dit.caption", try trace.tensor("dit.caption"))
        let caption = try Tensor([rows.count / width, width], rows.map { Float($0) })
        var input = try trace.floats("dit.step0.patch_embed")
        for index in 0..<configuration.layers {
            let tokens = input.reshaped([input.count / width, width])
            try expect(parts.block(index, tokens, modulation: modulation, caption: caption, height: 8, width: 8), equals: "dit.step0.block.\(index)")
            input = try trace.floats("dit.step0.block.\(index)")
        }
    }

    @Test("blocks that are loaded anew in every step compute what blocks that stay in memory do, bit for bit", arguments: CPU.each)
    func blocksThatAreNotKept(_ executor: CPU) throws {
        var request = GenerationRequest(prompt: "a large red circle", noise: .seed(3))
        request.timesteps = .steps(2)
        let kept = try pipeline(executor).generate(request)
        let loaded = try pipeline(executor).generate(request, residentBytes: 0)
        #expect(kept.rgb == loaded.rgb)
    }

    @Test(arguments: CPU.each) func eachLayerOfTheTextEncoderFromItsOwnInput(_ executor: CPU) throws {
        let encoder = try pipeline(executor).textEncoder()
        func tokens(_ name: String) throws -> Tensor {
            let rows = try trace.kept(name, try trace.tensor(name))
            return try Tensor([rows.count / encoder.configuration.width, encoder.configuration.width], rows.map { Float($0) })
        }
        var input = try tokens("text.embed")
        for index in 0..<encoder.configuration.layers {
            let expected = try tokens("text.layer.\(index)")
            #expect(relativeError(try encoder.layer(index, input).elements, expected.elements.map(Double.init)) <= Self.gate, "layer \(index)")
            input = expected
        }
    }

    @Test(arguments: CPU.each) func eachStageOfTheDecoderFromItsOwnInput(_ executor: CPU) throws {
        let decoder = try pipeline(executor).decoder()
        let last = decoder.configuration.decoder.stages.count - 1
        for index in 0..<last { try expect(decoder.stage(index, try map("vae.dec.stage.\(index + 1)")), equals: "vae.dec.stage.\(index)") }
    }

    /// The fused multiplications of the residual blocks, on against off.
    @Test(arguments: ["tiny-sprint", "mini", "odd"], CPU.each) func winogradChangesNothingButTheLastBits(_ checkpoint: String, _ executor: CPU) throws {
        let weights = try TableWeights(checkpoint)
        let decoder = try SanaSprintPipeline(weights: weights, on: executor).decoder()
        var random = SplitMix64(seed: 35)
        let latents = try random.tensor([decoder.configuration.latentChannels, 5, 3])
        let direct = try AutoencoderDecoder(decoder.configuration, from: weights, on: CPU(executor.instructionSet, usesWinograd: false)).decode(latents)
            .elements
        let winograd = try decoder.decode(latents).elements
        #expect(winograd != direct, "the fusion is not in use")
        #expect(relativeError(winograd, direct.map(Double.init)) <= Self.gate)
    }

    @Test(arguments: CPU.each) func eachStageOfTheEncoderFromItsOwnInput(_ executor: CPU) throws {
        let encoder = try pipeline(executor).encoder()
        try expect(encoder.stage(0, try map("vae.enc.conv_in")), equals: "vae.enc.stage.0")
        for index in 1..<encoder.configuration.encoder.stages.count {
            try expect(encoder.stage(index, try map("vae.enc.stage.\(index - 1)")), equals: "vae.enc.stage.\(index)")
        }
    }

    @Test(arguments: CPU.each) func decodingAlone(_ executor: CPU) throws {
        let latents = try map("latents")
        let expected = try trace.tensor("image_u8")
        let picture = try pipeline(executor).decode(latents)
        #expect([picture.height, picture.width, 3] == expected.shape.extents)
        #expect(zip(picture.rgb, expected.contents).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
    }

    /// A probe `[1, c, h, w]` without its batch axis.
    private func map(_ name: String) throws -> Tensor {
        let value = try trace.floats(name)
        return value.reshaped(Shape(Array(value.shape.extents.dropFirst())))
    }
}
