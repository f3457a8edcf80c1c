import Files
import Operations
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Inference

/// Pictures from pictures, against the stock SanaSprintImg2ImgPipeline (Tests/Fixtures/oracle/make_img2img.py).
@Suite struct ImageToImageTests {
    @Test("latents and pictures are the stock pipeline's") func runs() throws {
        let file = try SafetensorsFile.open(Fixtures.path("img2img/runs.safetensors"))
        func text(_ key: String) throws -> String { try #require(file.header.metadata.first { $0.0 == key }?.1) }
        let read = try PNGImage.read(try InputFile(path: Fixtures.path(text("picture"))))
        let picture = Picture(width: read.width, height: read.height, rgb: read.rgb)
        let pipeline = try SanaSprintPipeline(weights: TableWeights("tiny-sprint"), on: .best)
        let runs = try #require(try JSONValue.parse(Array(text("runs").utf8)).array)
        #expect(runs.count == 4)
        for (index, run) in runs.enumerated() {
            let fields = try JSONFields(run, subject: "run \(index)")
            let (width, height) = (try fields.int("width", in: 1...512), try fields.int("height", in: 1...512))
            var request = GenerationRequest(prompt: try text("prompt"), noise: .seed(UInt64(try fields.int("seed", in: 0...9))))
            (request.width, request.height) = (width, height)
            request.timesteps = try TimestepPlan.steps(try fields.int("steps", in: 1...9)).last(strength: try fields.double("strength"), maximumSteps: 1000)
            request.picture = try Pixels.normalized(picture.resized(width: width, height: height))
            let probes = Recorder()
            let drawn = try pipeline.generate(request, probes: probes)
            let latents = try probes.floats("latents").elements
            let expected = try file.read("\(index).latents").widened().elements.map(Double.init)
            #expect(relativeError(latents, expected) <= GoldenTests.float32Gate, "run \(index)")
            let bytes = try file.read("\(index).image_u8").contents
            #expect(zip(drawn.rgb, bytes).allSatisfy { (Int($0) - Int($1)).magnitude <= 1 } && drawn.rgb.count == bytes.count, "run \(index)")
        }
    }

    @Test("the steps that are left, as diffusers counts them", arguments: [(1, 0.3, 1), (2, 0.5, 1), (2, 0.6, 2), (4, 0.3, 2), (8, 0.7, 6), (20, 0.5, 10)])
    func steps(count: Int, strength: Double, left: Int) throws {
        let plan = try TimestepPlan.steps(count).last(strength: strength, maximumSteps: 1000)
        #expect(plan.stepCount == left)
        #expect(throws: InferenceError.self) { try TimestepPlan.steps(count).last(strength: 0, maximumSteps: 1000) }
    }
}
