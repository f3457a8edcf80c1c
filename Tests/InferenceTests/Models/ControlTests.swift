import Checkpoints
import Conversion
import Operations
import Safetensors
import Tensors
import TestKit
import Testing

@testable import Inference

/// Control networks against PyTorch: diffusers' own class with random weights, and a trained one that this class cannot hold.
@Suite struct ControlTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let base: String
        let wiring: ControlWiring
        var fusions = Fusions.lossless
        var testDescription: String { "\(base), \(wiring), fusions \(fusions.rawValue)" }
    }

    static let cases = ["odd", "tiny"].flatMap { base in
        ControlWiring.allCases.flatMap { wiring in [.lossless, [.lossless, .queryNorm], []].map { Case(base: base, wiring: wiring, fusions: $0) } }
    }

    private static func weights(_ base: String, _ wiring: ControlWiring?, _ fusions: Fusions = .lossless) throws -> CheckpointWeights {
        let (folder, control) = base == "odd" ? ("odd", "odd-controlnet") : ("tiny-sprint", "tiny-sprint-controlnet")
        let checkpoint = try Checkpoint.open(
            Fixtures.path(folder), variant: base == "odd" ? "fp16" : nil, folders: ["controlnet": Fixtures.path(control)], wiring: wiring)
        return try CheckpointWeights(checkpoint, fusions: fusions)
    }

    /// Tests/Fixtures/oracle/make_control.py
    private struct Steps {
        private let file: SafetensorsFile
        init() throws { file = try SafetensorsFile.open(Fixtures.path("control/steps.safetensors")) }
        func map(_ name: String) throws -> Tensor {
            let tensor = try file.read(name).widened()
            return tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst())))
        }
    }

    @Test("one step is PyTorch's, in both wirings, with and without query and key norms", arguments: cases) func oneStep(_ golden: Case) throws {
        let steps = try Steps()
        for executor in golden.fusions == .lossless ? CPU.each : [.best] {
            let pipeline = try SanaSprintPipeline(weights: Self.weights(golden.base, golden.wiring, golden.fusions), on: executor)
            let transformer = try pipeline.transformer(isControlled: true)
            let (latents, control) = (try steps.map("\(golden.base).latents"), try steps.map("\(golden.base).control"))
            let prompt = try transformer.prompt(try steps.map("\(golden.base).features"))
            func velocity(_ hint: SanaTransformer<CPU>.Hint?) throws -> Tensor {
                try transformer.velocity(latents, time: 0.7827, guidance: 4.5, prompt: prompt, hint: hint)
            }
            for scale in [1, 0.5] {
                let found = try velocity(transformer.hint(control, scale: scale))
                let expected = try steps.map("\(golden.base).\(golden.wiring.rawValue).\(scale == 1 ? "1.0" : "0.5")")
                #expect(relativeError(found.elements, expected.elements.map(Double.init)) <= GoldenTests.float32Gate, "\(executor), scale \(scale)")
            }
            #expect(try velocity(transformer.hint(control, scale: 0)).elements == velocity(nil).elements, "\(executor)")
        }
    }

    @Test("the trained network's trace, at every probe", arguments: CPU.each) func trace(_ executor: CPU) throws {
        let reference = try TraceFixture("traces/tiny-control-float32.safetensors")
        let pipeline = try SanaSprintPipeline(weights: Self.weights("tiny", nil), on: executor)
        var request = try reference.request()
        request.promptFeatures = try reference.promptFeatures()
        let pixels = try reference.floats("control.pixels")
        request.control = ControlRequest(.pixels(pixels.reshaped([3, 128, 128])), scale: 0.7)
        let probes = Recorder()
        _ = try pipeline.generate(request, probes: probes)
        for name in reference.names {
            let (value, expected) = (try #require(probes.values[name], "\(name)"), try reference.tensor(name))
            #expect(value.shape == expected.shape, "\(name)")
            if name == "image_u8" {
                #expect(zip(value.contents, expected.contents).allSatisfy { (Int($0) - Int($1)).magnitude <= 1 })
                continue
            }
            let error = relativeError(try value.widened().elements, try expected.widened().elements.map(Double.init))
            #expect(error <= GoldenTests.float32Gate, "\(name)")
        }
    }

    @Test("an engine's prompt is held for the network that was told it") func engine() throws {
        let pipeline = try SanaSprintPipeline(weights: Self.weights("tiny", nil), on: .best)
        let engine = Engine(pipeline, residentBytes: 1 << 30)
        var plain = GenerationRequest(prompt: "a red circle")
        plain.timesteps = .steps(1)
        var controlled = plain
        controlled.control = try ControlRequest(Picture(width: 128, height: 128, rgb: [UInt8](repeating: 0, count: 3 * 128 * 128)))
        let expected = try [plain, controlled].map { try Engine(pipeline).run(Job($0)) }
        #expect(expected[0] != expected[1])
        for index in [0, 1, 1, 0] { #expect(try engine.run(Job([plain, controlled][index])) == expected[index]) }
    }

    @Test("requests that cannot be served") func requests() throws {
        let pipeline = try SanaSprintPipeline(weights: Self.weights("tiny", nil), on: .best)
        var request = GenerationRequest(prompt: "")
        request.control = ControlRequest(.pixels(try Tensor([3, 64, 128])))
        #expect(throws: InferenceError.request(subject: "control", expected: "a picture of the size to draw, 128 x 128", found: "128 x 64")) {
            try pipeline.generate(request)
        }
        request.control = ControlRequest(.latents(try Tensor([16, 8, 4])))
        #expect(throws: InferenceError.request(subject: "control", expected: "the shape [16, 8, 8] of the latents", found: "[16, 8, 4]")) {
            try pipeline.generate(request)
        }
        let plain = try SanaSprintPipeline(weights: TableWeights("tiny-sprint"), on: .best)
        #expect(throws: InferenceError.missingComponent(.controlnet, needed: "follow a picture")) { try plain.generate(request) }
    }

    @Test("pictures in another size are Pillow's, bit for bit") func resizing() throws {
        let file = try SafetensorsFile.open(Fixtures.path("control/resized.safetensors"))
        for name in file.header.entries.map(\.name) where name.hasSuffix(".source") {
            let source = try #require(Picture(try file.read(name)))
            let expected = try #require(Picture(try file.read(String(name.dropLast(7)) + ".result")))
            #expect(source.resized(width: expected.width, height: expected.height) == expected, "\(name)")
        }
        #expect(file.header.entries.count >= 10)
    }
}
