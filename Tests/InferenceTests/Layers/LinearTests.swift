import Glibc
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Linears of every scheme against plain loops.
@Suite(.onEveryExecutor) struct LinearTests {
    struct Size: Sendable { let rows, outputs, inputs: Int }
    static let sizes = [
        Size(rows: 1, outputs: 7, inputs: 5), Size(rows: 3, outputs: 1, inputs: 1), Size(rows: 65, outputs: 33, inputs: 129),
        Size(rows: 200, outputs: 97, inputs: 64),
    ]

    private static func reference(_ x: [Float], _ w: [Float], _ bias: [Float]?, _ size: Size) -> [Double] {
        (0..<size.rows * size.outputs).map { index in
            let (row, output) = (index / size.outputs, index % size.outputs)
            let sum = (0..<size.inputs).reduce(0.0) { $0 + Double(x[row * size.inputs + $1]) * Double(w[output * size.inputs + $1]) }
            return sum + Double(bias?[output] ?? 0)
        }
    }

    @Test(arguments: sizes, [DType.f32, .f16, .bf16]) func floatingPointWeights(_ size: Size, _ dtype: DType) throws {
        var random = SplitMix64(seed: 1)
        let x = try random.tensor([size.rows, size.inputs])
        let drawn = try random.tensor([size.outputs, size.inputs])
        let bias = try random.tensor([size.outputs])
        let stored = try drawn.narrowed(to: dtype)
        let weight = try stored.widened().elements
        for bias in [nil, bias] {
            let result = try Linear(.plain(stored), bias: bias, on: .underTest)(x)
            #expect(result.shape == [size.rows, size.outputs])
            #expect(relativeError(result.elements, Self.reference(x.elements, weight, bias?.elements, size)) < 5e-7)
        }
    }

    @Test(arguments: sizes) func int8WeightsWithFloatActivations(_ size: Size) throws {
        var random = SplitMix64(seed: 2)
        let x = try random.tensor([size.rows, size.inputs])
        let stored = try Int8Reference.weight(random.floats(size.outputs * size.inputs), [size.outputs, size.inputs], .float)
        let factors = Tensor(sharing: stored.planes[1]).elements
        let weight = stored.planes[0].contents.enumerated().map { Float(Int8(bitPattern: $1)) * factors[$0 / size.inputs] }
        let result = try Linear(stored, on: .underTest)(x)
        #expect(relativeError(result.elements, Self.reference(x.elements, weight, nil, size)) < 5e-7)
    }

    /// y = fma(s_x s_w, accumulator, b), bit for bit: the accumulators are exact, and every rounding has its place.
    @Test(arguments: sizes) func int8WeightsAndActivationsFollowTheIntegerContract(_ size: Size) throws {
        var random = SplitMix64(seed: 3)
        var x = random.floats(size.rows * size.inputs)
        // A row of zeros has scale 1, an outlier squeezes the rest of its row.
        for index in 0..<size.inputs where size.rows > 2 { x[index] = 0 }
        x[x.count - 1] = 40
        let stored = try Int8Reference.weight(random.floats(size.outputs * size.inputs), [size.outputs, size.inputs], .int8PerToken)
        let weight = stored.planes[0].contents.map { Int64(Int8(bitPattern: $0)) }
        let factors = Tensor(sharing: stored.planes[1]).elements
        for bias in [nil, try random.tensor([size.outputs])] {
            let result = try Linear(stored, bias: bias, on: .underTest)(try Tensor([size.rows, size.inputs], x)).elements
            for row in 0..<size.rows {
                let (q, scale) = Int8Reference.quantize(Array(x[row * size.inputs..<(row + 1) * size.inputs]))
                for output in 0..<size.outputs {
                    let accumulator = (0..<size.inputs).reduce(Int64(0)) { $0 + Int64(q[$1]) * weight[output * size.inputs + $1] }
                    let expected = fmaf(scale * factors[output], Float(accumulator), bias?.elements[output] ?? 0)
                    #expect(result[row * size.outputs + output] == expected)
                }
            }
        }
    }

    /// Turning both factors leaves the product, and the integers are those of turned rows. With float activations the weight is turned back.
    @Test(arguments: [1, 3, 37]) func rotatedWeightsMeetTurnedActivations(_ rows: Int) throws {
        var random = SplitMix64(seed: 6)
        let (x, bias) = (try random.tensor([rows, 96]), try random.tensor([33]))
        let planes = try Scheme.int8Rotated.encode(random.tensor([33, 96]), subject: "w")
        func stored(_ scheme: Scheme, _ activations: ActivationScheme) -> StoredWeight {
            StoredWeight(scheme, [33, 96], planes: planes, activations: activations)
        }
        let integers = try Linear(stored(.int8Rotated, .int8PerToken), bias: bias, on: .underTest)(x)
        let plain = try Linear(stored(.int8PerChannel, .int8PerToken), bias: bias, on: .underTest)
        #expect(integers.elements == (try plain(Scheme.int8Rotated.basis(of: x))).elements)

        let decoded = try Scheme.int8Rotated.decode(planes, shape: [33, 96]).elements
        let floats = try Linear(stored(.int8Rotated, .float), bias: bias, on: .underTest)(x)
        let size = Size(rows: rows, outputs: 33, inputs: 96)
        #expect(relativeError(floats.elements, Self.reference(x.elements, decoded, bias.elements, size)) < 5e-7)
        #expect(relativeError(integers.elements, floats.elements.map(Double.init)) < 0.02)
    }

    /// Wide enough that the decoded weight comes in several panels.
    @Test func panelsJoin() throws {
        var random = SplitMix64(seed: 4)
        let size = Size(rows: 2, outputs: 700, inputs: 2000)
        let x = try random.tensor([size.rows, size.inputs])
        let stored = try random.tensor([size.outputs, size.inputs]).narrowed(to: .bf16)
        let result = try Linear(.plain(stored), on: .underTest)(x)
        #expect(relativeError(result.elements, Self.reference(x.elements, try stored.widened().elements, nil, size)) < 5e-7)
    }

    /// A few rows are multiplied with int8 weights as they are, many through float panels, alone and in a group.
    @Test(arguments: [1, 3, 20, 64, 65, 130]) func aGroupOfInt8WeightsStandsSideBySide(rows: Int) throws {
        var random = SplitMix64(seed: 6)
        let x = try random.tensor([rows, 70])
        let parts = try [40, 9].map { outputs in
            try Linear(try Int8Reference.weight(random.floats(outputs * 70), [outputs, 70], .float), on: .underTest)
        }
        let (first, second) = (try parts[0](x).elements, try parts[1](x).elements)
        var expected: [Float] = []
        for row in 0..<rows {
            expected += first[row * 40..<(row + 1) * 40]
            expected += second[row * 9..<(row + 1) * 9]
        }
        #expect(try CPU.underTest.multiply(x, by: parts, norm: nil, then: nil).elements == expected)
    }

    @Test func aGroupStandsSideBySide() throws {
        var random = SplitMix64(seed: 5)
        let (x, a, b) = (try random.tensor([9, 6]), try random.tensor([4, 6]), try random.tensor([3, 6]))
        let parts = try [a, b].map { try Linear(.plain(EncodedTensor($0)), on: .underTest) }
        let single = try CPU.underTest.multiply(x, by: parts, norm: nil, then: nil)
        let fused = try Linear(.plain(EncodedTensor(try Tensor([7, 6], a.elements + b.elements))), on: .underTest)
        #expect(relativeError(single.elements, try fused(x).elements.map(Double.init)) < 1e-6)
    }
}
