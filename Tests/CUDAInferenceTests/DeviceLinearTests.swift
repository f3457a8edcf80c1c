import CUDADriver
import CUDAInference
import Glibc
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Linears of every scheme on the stand-in, with the kernels that ship: integers against the CPU's bit for bit, floats against sums in double.
@Suite struct DeviceLinearTests {
    struct Size: Sendable { let rows, outputs, inputs: Int }
    static let sizes = [
        Size(rows: 1, outputs: 7, inputs: 5), Size(rows: 3, outputs: 1, inputs: 1), Size(rows: 65, outputs: 33, inputs: 129),
        Size(rows: 40, outputs: 300, inputs: 64), Size(rows: 150, outputs: 97, inputs: 2240),
    ]

    // MARK: - Integers

    @Test(arguments: sizes) func integersAreTheCPUs(_ size: Size) throws {
        var bench = try Bench(seed: 5)
        var elements = try bench.values([size.rows, size.inputs]).elements
        // A row of zeros has scale 1, an outlier squeezes the rest of its row.
        if size.rows > 2 { for index in 0..<size.inputs { elements[index] = 0 } }
        elements[elements.count - 1] = 40
        let x = try Tensor([size.rows, size.inputs], elements)
        let stored = try bench.weight([size.outputs, size.inputs], .int8PerChannel, .int8PerToken)
        for bias in [nil, try bench.values([size.outputs])] {
            let result = try bench.engine.tensor(from: try bench.engine.multiply(bench.rows(x), by: [bench.linear(stored, bias: bias)]))
            #expect(result.shape == [size.rows, size.outputs])
            #expect(result.elements == (try Linear(stored, bias: bias, on: .best)(x)).elements)
        }
    }

    @Test("Every scheme whose inputs are integers", arguments: [Scheme.int8PerChannel, .int8Rotated, .int8Balanced, .int4Grouped, .int4Balanced], [1, 37])
    func integerSchemes(_ scheme: Scheme, _ rows: Int) throws {
        var bench = try Bench(seed: 6)
        let (x, stored) = (try bench.values([rows, 160]), try bench.weight([41, 160], scheme, .int8PerToken))
        let found = try bench.elements(bench.engine.multiply(bench.rows(x), by: [bench.linear(stored)]))
        #expect(found == (try Linear(stored, on: .best)(x)).elements)
    }

    @Test("Turned inputs, several weights side by side, parts of one, and their sum with a gate and a residual")
    func combinations() throws {
        var bench = try Bench(seed: 6)
        let engine = bench.engine
        let x = try bench.values([37, 96])
        let stored = try (0..<6).map { try bench.weight([33 + $0, 96], .int8Rotated, .int8PerToken) }
        let bias = try bench.values([35]), gate = try bench.values([33]), residual = try bench.values([37, 33])
        let rows = try bench.rows(x)

        let parts = try stored.enumerated().map { try bench.linear($1, bias: $0 == 2 ? bias : nil) }
        let side = try bench.elements(engine.multiply(rows, by: parts))
        var column = 0
        for (index, one) in stored.enumerated() {
            let width = 33 + index
            #expect(columns(column..<column + width, of: side, 213) == (try Linear(one, bias: index == 2 ? bias : nil, on: .best)(x)).elements)
            column += width
        }

        let cut = try engine.linear(stored[1], 5..<20, bias: nil, compute: .float32)
        #expect(try bench.elements(engine.multiply(rows, by: [cut])) == columns(5..<20, of: try Linear(stored[1], on: .best)(x).elements, 34))

        for gate in [nil, gate] {
            var (expected, found) = (try residual.copy(), try bench.rows(residual))
            let before = found
            try engine.add(rows, by: parts[0], to: &found, gate: try gate.map(bench.rows))
            try CPU.best.add(x, by: try Linear(stored[0], on: .best), to: &expected, gate: gate)
            #expect(try bench.elements(found) == expected.elements)
            // Who shares the residual keeps it.
            #expect(try bench.elements(before) == residual.elements)
        }
    }

    @Test("Weights that turn their inputs in ways of their own stand side by side")
    func differentTurns() throws {
        var bench = try Bench(seed: 8)
        let x = try bench.values([20, 96]), (scale, shift) = (try bench.values([96]), try bench.values([96]))
        let stored = try [Scheme.int8Balanced, .int8Balanced, .int8PerChannel, .int8Rotated].map { try bench.weight([30, 96], $0, .int8PerToken) }
        let norm = ModulatedNorm(scale: try bench.rows(scale), shift: try bench.rows(shift), epsilon: 1e-6)
        let found = try bench.elements(bench.engine.multiply(bench.rows(x), by: stored.map { try bench.linear($0) }, norm: norm))
        let expected = try CPU.best.multiply(
            x, by: stored.map { try Linear($0, on: .best) }, norm: ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6), then: nil)
        #expect(found == expected.elements)
    }

    // MARK: - Floats

    /// What a product is within: sums of n products in float32, or of a single row in two floats.
    private static func bound(_ rows: Int, _ depth: Int) -> Double { (rows == 1 ? 2 : Double(depth) / 16 + 16) * 0x1p-24 }

    /// The largest error of products beside the magnitudes that were added up, of weights as they are decoded.
    private static func error(_ found: [Float], _ x: [Float], _ w: [Float], _ bias: [Float], _ size: Size) -> Double {
        guard found.count == size.rows * size.outputs else { return .infinity }
        var worst = 0.0
        for index in found.indices {
            let (row, output) = (index / size.outputs, index % size.outputs)
            var (sum, magnitude) = (Double(bias[output]), Double(bias[output].magnitude))
            for k in 0..<size.inputs {
                let product = Double(x[row * size.inputs + k]) * Double(w[output * size.inputs + k])
                (sum, magnitude) = (sum + product, magnitude + product.magnitude)
            }
            let error = (Double(found[index]) - sum).magnitude / magnitude
            worst = error <= worst ? worst : error.isNaN ? .infinity : error
        }
        return worst
    }

    static let floatSizes = [
        Size(rows: 1, outputs: 9, inputs: 5), Size(rows: 1, outputs: 33, inputs: 288), Size(rows: 3, outputs: 1, inputs: 1),
        Size(rows: 65, outputs: 33, inputs: 129), Size(rows: 21, outputs: 18, inputs: 96),
    ]

    @Test(arguments: floatSizes, SchemeList.builtIn.schemes) func floats(_ size: Size, _ scheme: Scheme) throws {
        guard scheme.holds([size.outputs, size.inputs]) else { return }
        var bench = try Bench(seed: 1)
        let (x, bias) = (try bench.values([size.rows, size.inputs]), try bench.values([size.outputs]))
        let stored = try bench.weight([size.outputs, size.inputs], scheme)
        let result = try bench.engine.tensor(from: bench.engine.multiply(bench.rows(x), by: [bench.linear(stored, bias: bias)]))
        #expect(result.shape == [size.rows, size.outputs])
        // int8 weights are rounded when they are decoded.
        let bound = Self.bound(size.rows, size.inputs) + (scheme == .int8PerChannel ? 0x1p-24 : 0)
        #expect(Self.error(result.elements, x.elements, try stored.widened().elements, bias.elements, size) <= bound)
    }

    @Test(arguments: [Compute.bfloat16, .float16], floatSizes) func rounded(_ compute: Compute, _ size: Size) throws {
        let type = try #require(compute.rounded)
        for scheme in SchemeList.builtIn.schemes where scheme.holds([size.outputs, size.inputs]) {
            var bench = try Bench(seed: 2)
            let (x, bias) = (try bench.values([size.rows, size.inputs]), try bench.values([size.outputs]))
            let stored = try bench.weight([size.outputs, size.inputs], scheme)
            let found = try bench.elements(bench.engine.multiply(bench.rows(x), by: [bench.linear(stored, bias: bias, compute: compute)]))
            let (rounded, weight) = (try x.narrowed(to: type).widened(), try stored.widened().narrowed(to: type).widened())
            #expect(Self.error(found, rounded.elements, weight.elements, bias.elements, size) <= Self.bound(size.rows, size.inputs), "\(scheme)")
        }
    }

    @Test("The first layer whose inputs float16 has no number for is named, once, and so is such a weight", arguments: [1, 9])
    func beyondFloat16(_ rows: Int) throws {
        let engine = try Engine(try Device(library: StandIn.library))
        var bench = try Bench(seed: 4, on: engine)
        func named(_ name: String, _ stored: StoredWeight) -> StoredWeight {
            var stored = stored
            stored.name = name
            return stored
        }
        let (near, far) = (try bench.weight([9, 33], .bf16), try bench.weight([9, 33], .f16))
        let first = try bench.linear(named("near", near), compute: .float16), second = try bench.linear(named("far", far), compute: .float16)
        let fine = try bench.values([rows, 33])
        var elements = fine.elements
        elements[elements.count - 1] = 65519
        let largest = try Tensor([rows, 33], elements)
        elements[elements.count - 1] = 65521
        let larger = try Tensor([rows, 33], elements)
        #expect(try bench.elements(engine.multiply(bench.rows(largest), by: [first])).allSatisfy(\.isFinite))
        for (one, other, name) in [(first, second, "near"), (second, first, "far")] {
            _ = try engine.multiply(bench.rows(larger), by: [one])
            let products = try engine.multiply(bench.rows(larger), by: [other])
            #expect(throws: MachineError.beyondFloat16("inputs of \(name)")) { _ = try bench.elements(products) }
            #expect(try bench.elements(engine.multiply(bench.rows(fine), by: [one])).allSatisfy(\.isFinite))
        }
        #expect(throws: MachineError.beyondFloat16("inputs of near")) {
            _ = try Linear(named("near", near), compute: .float16, on: .best)(larger)
        }
        let wide = try StoredWeight(Scheme.f32, [1, 2], planes: [EncodedTensor(try Tensor([1, 2], [1, 65520]))], name: "wide")
        #expect(throws: MachineError.beyondFloat16("wide")) { _ = try bench.linear(wide, compute: .float16) }
        #expect(throws: MachineError.beyondFloat16("wide")) { _ = try Linear(wide, compute: .float16, on: .best) }
    }

    /// Six of 18 columns are rows of whole fours, in which some begin between fours.
    @Test("Kinds stand side by side, as each alone; gates and residuals", arguments: [1, 21], [18, 19])
    func mixed(_ rows: Int, _ width: Int) throws {
        var bench = try Bench(seed: 3)
        let engine = bench.engine
        let x = try bench.values([rows, 96])
        var parts: [DeviceLinear] = []
        for (scheme, activations, compute) in [
            (.int8PerChannel, .int8PerToken, .float32), (.f32, .float, .float32), (.bf16, .float, .float32), (.bf16, .float, .bfloat16),
            (.f32, .float, .float16), (.int8Rotated, .int8PerToken, .bfloat16), (.int4Grouped, .float, .float32),
        ] as [(Scheme, ActivationScheme, Compute)] {
            parts.append(try bench.linear(bench.weight([width, 96], scheme, activations), bias: bench.values([width]), compute: compute))
        }
        let input = try bench.rows(x)
        let (scale, shift) = (try bench.rows(bench.values([96])), try bench.rows(bench.values([96])))
        for norm in [nil, ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6)] {
            let side = try bench.elements(engine.multiply(input, by: parts, norm: norm, then: .silu))
            for (index, part) in parts.enumerated() {
                let alone = try bench.elements(engine.multiply(input, by: [part], norm: norm, then: .silu))
                #expect(columns(width * index..<width * (index + 1), of: side, width * parts.count) == alone)
            }
        }
        let (residual, gate) = (try bench.values([rows, width]), try bench.values([width]))
        for part in parts {
            let product = try bench.elements(engine.multiply(input, by: [part]))
            var sum = try bench.rows(residual)
            try engine.add(input, by: part, to: &sum, gate: try bench.rows(gate))
            #expect(try bench.elements(sum) == residual.elements.indices.map { fmaf(gate.elements[$0 % width], product[$0], residual.elements[$0]) })
        }
    }

    @Test(
        "A norm before, and each nonlinearity behind, within the rounding of their sums",
        arguments: [nil, .silu, .gelu, .exactGELU, .geluGate] as [Nonlinearity?], [ActivationScheme.int8PerToken, .float])
    func fused(_ nonlinearity: Nonlinearity?, _ activations: ActivationScheme) throws {
        var bench = try Bench(seed: 9)
        let x = try bench.values([18, 96]), scale = try bench.values([96]), shift = try bench.values([96])
        let stored = try bench.weight([70, 96], .int8PerChannel, activations)
        let norm = ModulatedNorm(scale: try bench.rows(scale), shift: try bench.rows(shift), epsilon: 1e-6)
        let found = try bench.engine.tensor(from: bench.engine.multiply(bench.rows(x), by: [bench.linear(stored)], norm: norm, then: nonlinearity))
        let expected = try CPU.best.multiply(
            x, by: [try Linear(stored, on: .best)], norm: ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6), then: nonlinearity)
        #expect(found.shape == expected.shape)
        #expect(distance(found.elements, expected.elements) <= 1e-6)
    }
}
