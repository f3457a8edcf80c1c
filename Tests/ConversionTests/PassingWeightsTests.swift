import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// A transformer whose blocks come and go: on against off.
@Suite struct PassingWeightsTests {
    @Test(arguments: [Preset.int8, .bf16, .fp32], [Compute.float32, .bfloat16])
    func aSingleStepIsTheSameWithBlocksThatComeAndGo(preset: Preset, compute: Compute) throws {
        let folder = try TemporaryFolder()
        let file = try pack(Checkpoint.open(Fixtures.path("tiny-sprint")), ConversionOptions(preset), in: folder)
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(file), on: .best, compute: compute)
        var request = GenerationRequest(prompt: "a large red circle on a blue background")
        request.timesteps = .steps(1)
        let streamed = try Engine(pipeline).run(Job(request))
        #expect(try Engine(pipeline, residentBytes: .max).run(Job(request)) == streamed)
    }
}
