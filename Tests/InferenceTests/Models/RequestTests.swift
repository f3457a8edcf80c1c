import Operations
import Tensors
import TestKit
import Testing

@testable import Inference

/// Requests that a model cannot serve, and the errors that say why.
@Suite struct RequestTests {
    private let pipeline: SanaSprintPipeline<CPU>

    init() throws { pipeline = try SanaSprintPipeline(weights: TableWeights("tiny-sprint"), on: .best) }

    @Test(arguments: [17, 0, -16, 65_552, 65_537]) func sizesOffTheGridAreRefused(width: Int) throws {
        var request = GenerationRequest(prompt: "a red circle")
        request.width = width
        let error = #expect(throws: InferenceError.self) { try pipeline.generate(request) }
        guard case .request("width", let expected, "\(width)") = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(expected.hasPrefix("a multiple of 16 pixels"))
    }

    @Test func aSizeOffTheGridNamesItsNeighbours() throws {
        var request = GenerationRequest(prompt: "a red circle")
        request.height = 100
        #expect(throws: InferenceError.request(subject: "height", expected: "a multiple of 16 pixels up to 65536, such as 96 or 112", found: "100")) {
            try pipeline.generate(request)
        }
    }

    @Test func aSeedGivesAPictureOfTheSizeAskedFor() throws {
        var request = GenerationRequest(prompt: "a red circle", noise: .seed(3))
        (request.width, request.height, request.timesteps) = (48, 32, .steps(1))
        let picture = try pipeline.generate(request)
        #expect(picture.width == 48 && picture.height == 32)
        request.noise = .seed(4)
        #expect(try pipeline.generate(request) != picture)
    }

    @Test func noiseOfAnotherShapeIsRefused() throws {
        let request = GenerationRequest(prompt: "a red circle", noise: .given(latents: try Tensor([16, 8, 7]), steps: [try Tensor([16, 8, 8])]))
        #expect(throws: InferenceError.request(subject: "noise", expected: "the shape [16, 8, 8] of the latents", found: "[16, 8, 7]")) {
            try pipeline.generate(request)
        }
    }

    /// A run that begins with the latents of another between two of its steps goes on as that one does.
    @Test(arguments: [1, 2, 3]) func aRunGoesOnFromTheLatentsOfAnother(step: Int) throws {
        var random = SplitMix64(seed: 5)
        let noises = try (0..<5).map { _ in try random.tensor([16, 2, 3]) }
        var request = GenerationRequest(prompt: "a red circle", noise: .given(latents: noises[0], steps: Array(noises[1...])))
        (request.width, request.height, request.timesteps) = (48, 32, .steps(4))
        let (all, rest) = (Recorder(), Recorder())
        let picture = try pipeline.generate(request, probes: all)
        let times = try request.timesteps.times(maximumSteps: 1000)
        request.timesteps = .custom(times[step...].map(Double.init))
        request.start = try all.floats("dit.step\(step - 1).latents")
        request.noise = .given(latents: noises[0], steps: Array(noises[(step + 1)...]))
        #expect(try pipeline.generate(request, probes: rest) == picture)
        let names = rest.values.keys.filter { $0.hasPrefix("dit.step") || $0 == "latents" || $0 == "image" }
        #expect(names.count > 3 * (4 - step))
        for name in names {
            var parts = name.split(separator: ".").map(String.init)
            if parts.count > 1, let own = Int(parts[1].dropFirst("step".count)) { parts[1] = "step\(own + step)" }
            let other = parts.joined(separator: ".")
            #expect(rest.values[name]?.contents == all.values[other]?.contents, "\(name), \(other)")
        }
        // What the start is of unit noise, rounded once.
        let unit = try zip(rest.floats("input.latents").elements, #require(request.start).elements)
        #expect(unit.allSatisfy { $0 == Float(Double($1) / pipeline.configuration.scheduler.sigmaData) })
    }

    @Test func theScaledNoiseIsTheUsualStart() throws {
        var random = SplitMix64(seed: 6)
        let noise = try random.tensor([16, 1, 1])
        var request = GenerationRequest(prompt: "a red circle", noise: .given(latents: noise, steps: []))
        (request.width, request.height, request.timesteps) = (16, 16, .steps(1))
        let picture = try pipeline.generate(request)
        let sigma = pipeline.configuration.scheduler.sigmaData
        request.start = try Tensor([1, 16, 1, 1], noise.elements.map { Float(Double($0) * sigma) })
        #expect(try pipeline.generate(request) == picture)
        request.start = try Tensor([16, 1, 2])
        #expect(throws: InferenceError.request(subject: "start", expected: "the shape [16, 1, 1] of the latents", found: "[16, 1, 2]")) {
            try pipeline.generate(request)
        }
    }

    @Test func noiseForTheLastStepIsNotNeeded() throws {
        let trace = try TraceFixture("tiny-sprint/goldens/steps2.safetensors")
        var request = try trace.request()
        request.promptFeatures = try trace.promptFeatures()
        let full = try pipeline.generate(request)
        request.noise = .given(latents: try trace.floats("input.latents"), steps: [try trace.floats("input.noise.0")])
        #expect(try pipeline.generate(request) == full)
        request.noise = .given(latents: try trace.floats("input.latents"), steps: [])
        #expect(throws: InferenceError.request(subject: "step noise", expected: "at least 1 tensors for 2 steps", found: "0")) {
            try pipeline.generate(request)
        }
    }

    @Test func featuresMustFitTheTransformer() throws {
        var request = GenerationRequest(prompt: "")
        for (rows, channels, mask) in [(4, 127, [Int32](repeating: 1, count: 4)), (4, 128, [1, 1, 1]), (4, 128, [0, 0, 0, 0])] {
            request.promptFeatures = PromptFeatures(try Tensor([rows, channels]), mask: mask)
            #expect(throws: InferenceError.self) { try pipeline.generate(request) }
        }
    }

    @Test func progressNamesTheStagesInTheirOrder() throws {
        var request = GenerationRequest(prompt: "a red circle")
        (request.width, request.height) = (32, 32)
        var stages: [GenerationStage] = []
        _ = try Engine(pipeline).run(Job(request) { stages.append($0) })
        #expect(stages == [.readingPrompt, .loadingTransformer, .step(1, of: 2), .step(2, of: 2), .decoding])
    }
}
