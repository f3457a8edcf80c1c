import Glibc
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Inference

/// The preset int8, end to end, against float32 with identical noise and prompt features.
@Suite struct Int8Tests {
    @Test(arguments: CPU.each) func velocitiesKeepTheirSignal(_ executor: CPU) throws {
        let trace = try TraceFixture("tiny-sprint/goldens/steps2.safetensors")
        var request = try trace.request()
        request.promptFeatures = try trace.promptFeatures()
        let (float, integer) = (Recorder(), Recorder())
        _ = try SanaSprintPipeline(weights: TableWeights("tiny-sprint"), on: executor).generate(request, probes: float)
        _ = try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: executor).generate(request, probes: integer)
        for (step, decibels) in [(0, 35.0), (1, 33.0)] {
            let name = "dit.step\(step).output"
            let error = relativeError(try integer.floats(name).elements, try float.floats(name).elements.map(Double.init))
            // Not exact either: then nothing would have been quantized.
            #expect(error <= pow(10, -decibels / 20) && error > 1e-4, "\(name)")
        }
    }

    /// The decoder alone in int8 on latents of the trained checkpoint, as 8-bit pictures. PyTorch with the same contract faked: 58.4 dB.
    @Test(arguments: [1, 2, 4], CPU.each) func decodedPicturesKeepTheirSignal(_ steps: Int, _ executor: CPU) throws {
        let trace = try TraceFixture("tiny-sprint/goldens/steps\(steps).safetensors")
        let batched = try trace.floats("latents")
        let latents = batched.reshaped(Shape(Array(batched.shape.extents.dropFirst())))
        let float = try SanaSprintPipeline(weights: TableWeights("tiny-sprint"), on: executor).decode(latents)
        let integer = try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: executor).decode(latents)
        let squares = zip(float.rgb, integer.rgb).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
        #expect(squares > 0, "nothing was quantized")
        let decibels = 10 * log10(255 * 255 * Double(float.rgb.count) / squares)
        #expect(decibels >= 54, "\(decibels) dB")
    }

    /// Rows are quantized alone, so concatenating weights changes no bit of what each part gives.
    @Test(arguments: CPU.every) func concatenatedIntegerLinearsGiveTheSameBits(_ executor: CPU) throws {
        var random = SplitMix64(seed: 5)
        let x = try random.tensor([37, 70])
        let parts = try [33, 65].map { try random.tensor([$0, 70]) }
        let joined = try Tensor([98, 70], parts.flatMap(\.elements))
        let whole = try Self.integerLinear(joined, executor)(x)
        var column = 0
        for part in parts {
            let alone = try Self.integerLinear(part, executor)(x)
            for row in 0..<x.rows {
                for output in 0..<part.rows {
                    #expect(alone.span[row * part.rows + output].bitPattern == whole.span[row * 98 + column + output].bitPattern)
                }
            }
            column += part.rows
        }
    }

    /// What the integer contract speaks of does not depend on who computes it.
    @Test(arguments: [1, 5, 40]) func integerLayersGiveTheSameBitsOnEveryExecutor(_ size: Int) throws {
        var random = SplitMix64(seed: 6)
        let (map, bias) = (try random.tensor([size, 3, 96]), try random.tensor([35]))
        let rows = map.reshaped([3 * size, 96])
        let rotated = try Scheme.int8Rotated.encode(try random.tensor([35, 96]), subject: "weight")
        let turned = StoredWeight(.int8Rotated, [35, 96], planes: rotated, activations: .int8PerToken)
        let straight = try Int8Reference.weight(random.floats(35 * 96), [35, 96], .int8PerToken)
        let taps = try Int8Reference.weight(random.floats(35 * 9 * 96), [35, 3, 3, 96], .int8PerToken)
        let results = try CPU.every.map { executor in
            let linears = try [straight, turned].map { try Linear($0, bias: bias, on: executor)(rows) }
            let convolution = try Convolution(taps, bias: bias, on: executor)
            let maps = try [Convolution.Sampling.same, .stride2, .upsampled].map { try convolution(map, $0) }
            return (linears + maps).map { $0.elements.map(\.bitPattern) }
        }
        for (executor, result) in zip(CPU.every, results) { #expect(result == results[0], "\(executor.testDescription)") }
    }

    private static func integerLinear(_ weight: Tensor, _ executor: CPU) throws -> Linear {
        let planes = try Scheme.int8PerChannel.encode(weight, subject: "weight")
        return try Linear(StoredWeight(.int8PerChannel, weight.shape, planes: planes, activations: .int8PerToken), bias: nil, on: executor)
    }
}
