import Operations
import Tensors
import TestKit
import Testing

@testable import Inference

/// What the packed products fuse, and arithmetic in 16 bits, against the same computed plainly.
@Suite(.onEveryExecutor) struct PackedLayerTests {
    @Test(arguments: [false, true]) func fusedFeedForwardIsTheSame(isInt8: Bool) throws {
        let weights: any WeightSource = isInt8 ? try ConvertedWeights.int8() : try TableWeights("tiny-sprint")
        let c = try FixtureConfiguration.read("tiny-sprint").transformer
        let rows = TransformerRows(c, weights.fusions, nil)
        var random = SplitMix64(seed: 61)
        let x = try random.tensor([5, 7, c.width])
        let results = try [true, false].map { isPacked in
            let executor = CPU(CPU.underTest.instructionSet, prefersPackedProducts: isPacked)
            let layer = try WeightLoader(source: weights, on: executor).gatedConvolution(rows.blocks[0].feedForward)
            // Wide open, so that the residual does not hide what is added to it.
            var y = try x.copy()
            try executor.update(&y, by: layer, norm: nil, gate: try Tensor([c.width], [Float](repeating: 4096, count: c.width)), grid: nil)
            return y
        }
        // Beside float32's own last bits, int8 may round a value the other way where it lies between two steps.
        let bound = isInt8 ? 2e-3 : 1e-6
        #expect(relativeError(results[0].elements, results[1].elements.map(Double.init)) < bound)
    }

    @Test(arguments: LinearTests.sizes, [Compute.bfloat16, .float16]) func bothInputsAreRoundedAndNothingElse(_ size: LinearTests.Size, _ compute: Compute)
        throws
    {
        var random = SplitMix64(seed: 62)
        let (x, w) = (try random.tensor([size.rows, size.inputs]), try random.tensor([size.outputs, size.inputs]))
        let result = try Linear(.plain(EncodedTensor(w)), compute: compute, on: .underTest)(x)
        let type = try #require(compute.rounded)
        let rounded = try [x, w].map { try $0.narrowed(to: type).widened() }
        let (a, b) = (rounded[0].elements, rounded[1].elements)
        let exact = (0..<size.rows * size.outputs).map { index in
            (0..<size.inputs).reduce(0.0) {
                let (row, output) = (index / size.outputs, index % size.outputs)
                return $0 + Double(a[row * size.inputs + $1]) * Double(b[output * size.inputs + $1])
            }
        }
        #expect(relativeError(result.elements, exact) < 5e-7)
    }

    @Test(arguments: [Compute.bfloat16, .float16]) func roundedVelocitiesKeepTheirSignal(_ rounded: Compute) throws {
        let weights = try TableWeights("tiny-sprint")
        let c = try FixtureConfiguration.read("tiny-sprint").transformer
        var random = SplitMix64(seed: 63)
        let (latents, features) = (try random.tensor([c.channels, 8 * c.patch, 8 * c.patch]), try random.tensor([9, c.captionChannels]))
        let results = try [Compute.float32, rounded].map { compute in
            let transformer = try SanaTransformer(c, from: weights, on: .underTest, compute: compute)
            return try transformer.velocity(latents, time: 0.7, guidance: 4.5, prompt: try transformer.prompt(features))
        }
        let error = relativeError(results[1].elements, results[0].elements.map(Double.init))
        // bfloat16 keeps 8 bits, some 46 dB per rounding, float16 eleven. No error at all would mean that nothing was rounded.
        #expect(rounded == .bfloat16 ? error < 3e-2 && error > 1e-3 : error < 3e-3 && error > 1e-5)
    }
}
