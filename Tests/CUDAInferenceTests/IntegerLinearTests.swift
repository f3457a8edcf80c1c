import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// int8 linears on the stand-in, with the kernels that ship, against the CPU's bit for bit.
@Suite struct IntegerLinearTests {
    struct Size: Sendable { let rows, outputs, inputs: Int }
    static let sizes = [
        Size(rows: 1, outputs: 7, inputs: 5), Size(rows: 3, outputs: 1, inputs: 1), Size(rows: 65, outputs: 33, inputs: 129),
        Size(rows: 40, outputs: 300, inputs: 64), Size(rows: 150, outputs: 97, inputs: 2240),
    ]

    private static let engine = Result { try Engine(try Device(library: StandIn.library)) }

    private static func tensor(_ shape: Shape, _ random: inout SplitMix64) throws -> Tensor {
        try Tensor(shape, (0..<shape.elementCount).map { _ in Float.random(in: -3...3, using: &random) })
    }

    private static func weight(_ shape: Shape, _ scheme: Scheme, _ random: inout SplitMix64) throws -> StoredWeight {
        StoredWeight(scheme, shape, planes: try scheme.encode(tensor(shape, &random), subject: "w"), activations: .int8PerToken)
    }

    @Test(arguments: sizes) func productsAreTheCPUs(_ size: Size) throws {
        var random = SplitMix64(seed: 5)
        let engine = try Self.engine.get()
        var elements = try Self.tensor([size.rows, size.inputs], &random).elements
        // A row of zeros has scale 1, an outlier squeezes the rest of its row.
        if size.rows > 2 { for index in 0..<size.inputs { elements[index] = 0 } }
        elements[elements.count - 1] = 40
        let x = try Tensor([size.rows, size.inputs], elements)
        let stored = try Self.weight([size.outputs, size.inputs], .int8PerChannel, &random)
        for bias in [nil, try Self.tensor([size.outputs], &random)] {
            let linear = try #require(try engine.integerLinear(stored, 0..<size.outputs, bias: bias))
            let result = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear]))
            #expect(result.shape == [size.rows, size.outputs])
            #expect(result.elements == (try Linear(stored, bias: bias, on: .best)(x)).elements)
        }
    }

    @Test("Turned inputs, several weights side by side, parts of one, and their sum with a gate and a residual")
    func combinations() throws {
        var random = SplitMix64(seed: 6)
        let engine = try Self.engine.get()
        let x = try Self.tensor([37, 96], &random)
        let stored = try (0..<6).map { try Self.weight([33 + $0, 96], .int8Rotated, &random) }
        let bias = try Self.tensor([35], &random), gate = try Self.tensor([33], &random), residual = try Self.tensor([37, 33], &random)
        let rows = try engine.rows(from: x)

        let parts = try stored.enumerated().map { index, stored in
            try #require(try engine.integerLinear(stored, 0..<(33 + index), bias: index == 2 ? bias : nil))
        }
        let side = try engine.tensor(from: try engine.multiply(rows, by: parts)).elements
        var column = 0
        for (index, one) in stored.enumerated() {
            let expected = try Linear(one, bias: index == 2 ? bias : nil, on: .best)(x).elements, width = 33 + index
            let found = (0..<37).flatMap { side[$0 * 213 + column..<$0 * 213 + column + width] }
            #expect(found == expected)
            column += width
        }

        let cut = try #require(try engine.integerLinear(stored[1], 5..<20, bias: nil))
        let whole = try Linear(stored[1], on: .best)(x).elements
        #expect(try engine.tensor(from: try engine.multiply(rows, by: [cut])).elements == (0..<37).flatMap { whole[$0 * 34 + 5..<$0 * 34 + 20] })

        for gate in [nil, gate] {
            var (expected, found) = (try residual.copy(), try engine.rows(from: residual))
            let before = found
            let onDevice = try gate.map { try engine.rows(from: $0) }
            try engine.add(rows, by: parts[0], to: &found, gate: onDevice)
            try CPU.best.add(x, by: try Linear(stored[0], on: .best), to: &expected, gate: gate)
            #expect(try engine.tensor(from: found).elements == expected.elements)
            // Who shares the residual keeps it.
            #expect(try engine.tensor(from: before).elements == residual.elements)
        }
    }

    @Test(
        "A norm before, and each nonlinearity behind, within the rounding of their sums",
        arguments: [nil, .silu, .gelu, .exactGELU, .geluGate] as [Nonlinearity?])
    func fused(_ nonlinearity: Nonlinearity?) throws {
        var random = SplitMix64(seed: 9)
        let engine = try Self.engine.get()
        let x = try Self.tensor([18, 96], &random), scale = try Self.tensor([96], &random), shift = try Self.tensor([96], &random)
        let stored = try Self.weight([70, 96], .int8PerChannel, &random)
        let linear = try #require(try engine.integerLinear(stored, 0..<70, bias: nil))
        let norm = ModulatedNorm(scale: try engine.rows(from: scale), shift: try engine.rows(from: shift), epsilon: 1e-6)
        let found = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear], norm: norm, then: nonlinearity))
        let expected = try CPU.best.multiply(
            x, by: [try Linear(stored, on: .best)], norm: ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6), then: nonlinearity)
        #expect(found.shape == expected.shape)
        let largest = expected.elements.reduce(0) { max($0, $1.magnitude) }
        #expect(zip(found.elements, expected.elements).allSatisfy { ($0 - $1).magnitude <= 1e-6 * largest })
    }

    @Test("Weights that the integer contract does not cover are none")
    func others() throws {
        var random = SplitMix64(seed: 7)
        let engine = try Self.engine.get()
        let stored = StoredWeight.plain(EncodedTensor(try Self.tensor([4, 4], &random)))
        #expect(try engine.integerLinear(stored, 0..<4, bias: nil) == nil)
    }

    @Test("What has no rows gives none, and memory is used again")
    func memory() throws {
        var random = SplitMix64(seed: 8)
        let folder = try TemporaryFolder()
        let engine = try Engine(try Device(library: try StandIn.copy(in: folder)))
        let linear = try #require(try engine.integerLinear(try Self.weight([8, 64], .int8PerChannel, &random), 0..<8, bias: nil))
        #expect(try engine.multiply(try engine.rows(from: try Tensor([0, 64])), by: [linear]).shape == [0, 8])
        let x = try Self.tensor([4, 64], &random)
        _ = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear]))
        let free = try engine.device.memory().free
        for _ in 0..<3 { _ = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear])) }
        #expect(try engine.device.memory().free == free)
    }
}
