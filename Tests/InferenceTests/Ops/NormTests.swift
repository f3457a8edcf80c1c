import Glibc
import Inference
import Operations
import Tensors
import TestKit
import Testing

/// Norms, activations and gates against double formulas.
@Suite(.onEveryExecutor) struct NormTests {
    @Test(arguments: [1, 7, 64, 193]) func modulatedLayerNorm(_ channels: Int) throws {
        var random = SplitMix64(seed: 16)
        let x = try random.tensor([5, channels])
        let (scale, shift) = (try random.tensor([channels]), try random.tensor([channels]))
        let result = try CPU.underTest.normed(x, by: ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6))
        let (values, s, t) = (x.elements.map(Double.init), scale.elements, shift.elements)
        let expected = values.indices.map { index in
            let row = values[index / channels * channels..<(index / channels + 1) * channels]
            let mean = row.reduce(0, +) / Double(channels)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(channels)
            return (values[index] - mean) / (variance + 1e-6).squareRoot() * (1 + Double(s[index % channels])) + Double(t[index % channels])
        }
        #expect(relativeError(result.elements, expected) < 1e-7)
    }

    @Test(arguments: [0.0, 1.0], [true, false]) func rmsNorm(offset: Double, biased: Bool) throws {
        var random = SplitMix64(seed: 17)
        let channels = 13
        let (x, weight, bias) = (try random.tensor([4, channels]), try random.tensor([channels]), try random.tensor([channels]))
        let norm = RMSNorm(weight: weight, bias: biased ? bias : nil, weightOffset: offset, epsilon: 1e-5, on: .underTest)
        let (values, w, b) = (x.elements.map(Double.init), weight.elements, bias.elements)
        let expected = values.indices.map { index in
            let row = values[index / channels * channels..<(index / channels + 1) * channels]
            let scale = (row.reduce(0) { $0 + $1 * $1 } / Double(channels) + 1e-5).squareRoot()
            return values[index] / scale * (offset + Double(w[index % channels])) + (biased ? Double(b[index % channels]) : 0)
        }
        #expect(relativeError(try norm(x).elements, expected) < 1e-7)
        // The same on some columns of a wider matrix, in place.
        func framed<Number: ExpressibleByIntegerLiteral>(_ rows: [Number]) -> [Number] {
            var result: [Number] = []
            for row in 0..<4 {
                result += [7, 8]
                result += rows[row * channels..<(row + 1) * channels]
                result.append(9)
            }
            return result
        }
        var wide = try Tensor([4, channels + 3], framed(x.elements))
        norm.apply(&wide, column: 2)
        #expect(relativeError(wide.elements, framed(expected)) < 1e-7)
    }

    @Test func activationsAndGates() throws {
        var random = SplitMix64(seed: 18)
        let drawn = try random.tensor([6, 10])
        let values = drawn.elements.map { Double($0) * 4 }
        let x = try Tensor([6, 10], values.map { Float($0) })
        func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
        func gelu(_ x: Double) -> Double { 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }
        for (activation, formula) in [(Activation.relu, { max($0, 0) }), (.silu, silu)] as [(Activation, (Double) -> Double)] {
            var y = try x.copy()
            CPU.underTest.apply(activation, to: &y)
            #expect(relativeError(y.elements, x.elements.map { formula(Double($0)) }) < 1e-7)
        }
        let halves = x.elements.map(Double.init)
        func pair(_ index: Int) -> (Double, Double) { (halves[index / 5 * 10 + index % 5], halves[index / 5 * 10 + 5 + index % 5]) }
        #expect(relativeError(try CPU.underTest.siluGated(x).elements, (0..<30).map { pair($0).0 * silu(pair($0).1) }) < 1e-7)
        #expect(relativeError(try CPU.underTest.geluGated(x).elements, (0..<30).map { gelu(pair($0).0) * pair($0).1 }) < 1e-7)
    }

    @Test func sinusoidsPutCosinesFirst() throws {
        let result = try Sinusoid.embed(0.7, channels: 8)
        let angles = (0..<4).map { 0.7 * pow(10_000, -Double($0) / 4) }
        #expect(result.shape == [1, 8])
        #expect(relativeError(result.elements, angles.map { cos($0) } + angles.map { sin($0) }) < 1e-7)
    }
}
