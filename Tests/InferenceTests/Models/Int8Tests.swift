import Glibc
import Inference
import PackedFiles
import Tensors
import TestKit
import Testing

/// The preset int8, end to end, against float32 with identical noise and prompt features.
@Suite struct Int8Tests {
    @Test func velocitiesKeepTheirSignal() throws {
        let trace = try TraceFixture("tiny-sprint/goldens/steps2.safetensors")
        var request = try trace.request()
        request.promptFeatures = try trace.promptFeatures()
        let (float, integer) = (Recorder(), Recorder())
        _ = try SanaSprintPipeline(weights: TableWeights("tiny-sprint")).generate(request, probes: float)
        _ = try SanaSprintPipeline(weights: ConvertedWeights.int8()).generate(request, probes: integer)
        for (step, decibels) in [(0, 35.0), (1, 33.0)] {
            let name = "dit.step\(step).output"
            let error = relativeError(try integer.floats(name).elements, try float.floats(name).elements.map(Double.init))
            // Not exact either: then nothing would have been quantized.
            #expect(error <= pow(10, -decibels / 20) && error > 1e-4, "\(name)")
        }
    }

    /// The decoder alone in int8 on latents of the trained checkpoint, as 8-bit pictures. PyTorch with the same contract faked: 58.4 dB.
    @Test(arguments: [1, 2, 4]) func decodedPicturesKeepTheirSignal(_ steps: Int) throws {
        let trace = try TraceFixture("tiny-sprint/goldens/steps\(steps).safetensors")
        let batched = try trace.floats("latents")
        let latents = batched.reshaped(Shape(Array(batched.shape.extents.dropFirst())))
        let float = try SanaSprintPipeline(weights: TableWeights("tiny-sprint")).decode(latents)
        let integer = try SanaSprintPipeline(weights: ConvertedWeights.int8()).decode(latents)
        let squares = zip(float.rgb, integer.rgb).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
        #expect(squares > 0, "nothing was quantized")
        let decibels = 10 * log10(255 * 255 * Double(float.rgb.count) / squares)
        #expect(decibels >= 54, "\(decibels) dB")
    }

    /// Rows are quantized alone, so concatenating weights changes no bit of what each part gives.
    @Test func concatenatedIntegerLinearsGiveTheSameBits() throws {
        var random = SplitMix64(seed: 5)
        let x = try random.tensor([37, 70])
        let parts = try [33, 65].map { try random.tensor([$0, 70]) }
        let joined = try Tensor([98, 70], parts.flatMap(\.elements))
        let whole = try Self.integerLinear(joined)(x)
        var column = 0
        for part in parts {
            let alone = try Self.integerLinear(part)(x)
            for row in 0..<x.rows {
                for output in 0..<part.rows {
                    #expect(alone.span[row * part.rows + output].bitPattern == whole.span[row * 98 + column + output].bitPattern)
                }
            }
            column += part.rows
        }
    }

    private static func integerLinear(_ weight: Tensor) throws -> Linear {
        let planes = try Scheme.int8PerChannel.encode(weight, subject: "weight")
        return try Linear(StoredWeight(.int8PerChannel, weight.shape, planes: planes, activations: .int8PerToken), bias: nil)
    }
}
