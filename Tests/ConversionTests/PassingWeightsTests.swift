import Checkpoints
import Conversion
import Inference
import PackedFiles
import Tensors
import TestKit
import Testing

/// Weights that lie in memory used again, and a transformer whose blocks come and go: on against off.
@Suite struct PassingWeightsTests {
    @Test func aPassingWeightIsTheKeptOne() throws {
        let folder = try TemporaryFolder()
        let file = try pack(Checkpoint.open(Fixtures.path("tiny-sprint")), ConversionOptions(.int8), in: folder)
        let weights = try PackedWeights(file)
        for tensor in file.directory.tensors {
            for (kept, passing) in zip(try planes(weights.weight(tensor.name)), try planes(weights.weight(tensor.name, .passing))) {
                #expect(kept == passing, "\(tensor.name)")
            }
        }
    }

    private func planes(_ stored: StoredWeight) -> [[UInt8]] {
        switch stored {
        case .plain(let tensor): [bytes(tensor)]
        case .int8PerChannel(let values, let scales, _), .int8Rotated(let values, let scales, _): [bytes(values), bytes(EncodedTensor(scales))]
        }
    }

    @Test(arguments: [Preset.int8, .bf16, .fp32], [Compute.float32, .bfloat16])
    func aSingleStepIsTheSameWithBlocksThatComeAndGo(preset: Preset, compute: Compute) throws {
        let folder = try TemporaryFolder()
        let file = try pack(Checkpoint.open(Fixtures.path("tiny-sprint")), ConversionOptions(preset), in: folder)
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(file), compute: compute)
        var request = GenerationRequest(prompt: "a large red circle on a blue background")
        request.timesteps = .steps(1)
        let streamed = try pipeline.generate(request)
        request.keepsTransformer = true
        #expect(try pipeline.generate(request) == streamed)
    }
}
