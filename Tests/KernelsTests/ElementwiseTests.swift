import CKernels
import Glibc
import TestKit
import Testing

/// A function of one tensor, as kernel and as mathematics in double.
struct ElementwiseCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (InstructionSet, inout [Float]) -> Void
    let exact: @Sendable (Double) -> Double

    static let all: [ElementwiseCase] = [
        ElementwiseCase(
            testDescription: "silu", run: { set, x in unsafe apply(&x) { unsafe ck_silu(set.code, $0, $1, $2) } },
            exact: { $0 / (1 + exp(-$0)) }),
        // (1 + tanh u) / 2 written as e^u / (e^u + e^-u), exact for negative u too; beyond 300 it is 0 or 1.
        ElementwiseCase(
            testDescription: "gelu_tanh", run: { set, x in unsafe apply(&x) { unsafe ck_gelu_tanh(set.code, $0, $1, $2) } },
            exact: { x in
                let u = max(-300, min(300, (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
                return x * (exp(u) / (exp(u) + exp(-u)))
            }),
        ElementwiseCase(
            testDescription: "relu", run: { set, x in unsafe apply(&x) { unsafe ck_relu(set.code, $0, $1, $2) } }, exact: { max($0, 0) }),
    ]

    /// Runs a kernel in place.
    private static func apply(_ x: inout [Float], _ body: (UnsafeRawPointer?, UnsafeMutableRawPointer?, Int) -> Void) {
        let count = x.count
        unsafe x.withUnsafeMutableBytes { unsafe body(UnsafeRawPointer($0.baseAddress), $0.baseAddress, count) }
    }
}

@Suite struct ElementwiseTests {
    /// All exponents, and densely the range in which the functions bend. One rounding is half an ulp.
    @Test(arguments: InstructionSet.supported, ElementwiseCase.all)
    func isWithinOneRoundingOfTheExactValue(_ set: InstructionSet, _ function: ElementwiseCase) {
        var random = SplitMix64(seed: 11)
        let x = everyMagnitude + random.floats(4000, range: 1) + random.floats(4000, range: 12) + random.floats(4000, range: 110)
        var y = x
        function.run(set, &y)
        let worst = x.indices.max { ulps(y[$0], function.exact(Double(x[$0]))) < ulps(y[$1], function.exact(Double(x[$1]))) }!
        let error = ulps(y[worst], function.exact(Double(x[worst])))
        #expect(error <= 0.51, "at \(x[worst]): \(y[worst])")
    }

    @Test(arguments: InstructionSet.supported, ElementwiseCase.all)
    func everySetGivesTheBitsOfThePlainOne(_ set: InstructionSet, _ function: ElementwiseCase) {
        var random = SplitMix64(seed: 12)
        for count in 0...67 {
            let x = random.floats(count, range: 20)
            var y = x, plain = x
            function.run(set, &y)
            function.run(.plain, &plain)
            #expect(sameBits(y, plain))
        }
    }

    @Test(arguments: InstructionSet.supported, ElementwiseCase.all)
    func nanStaysNaN(_ set: InstructionSet, _ function: ElementwiseCase) {
        var x = [Float](repeating: 1, count: 19)
        (x[2], x[18]) = (.nan, -.nan)
        function.run(set, &x)
        #expect(x.indices.filter { x[$0].isNaN } == [2, 18])
    }

    @Test(arguments: InstructionSet.supported)
    func gatedProducts(_ set: InstructionSet) {
        var random = SplitMix64(seed: 13)
        for h in Array(1...67) + [300] {
            let rows = 3, u = random.floats(rows * 2 * h, range: 8)
            var y = [Float](repeating: 777, count: rows * h + 1)
            unsafe ck_glu_silu(set.code, u, &y, rows, h)
            let exact = (0..<rows * h).map { i -> Double in
                let a = Double(u[i / h * 2 * h + i % h]), g = Double(u[i / h * 2 * h + h + i % h])
                return a * g / (1 + exp(-g))
            }
            #expect(worstUlps(Array(y.dropLast()), exact) <= 0.51 && y.last == 777)

            let gate = Array(u.prefix(rows * h)), up = Array(u.suffix(rows * h))
            unsafe ck_geglu_tanh(set.code, gate, up, &y, rows * h)
            let gelu = ElementwiseCase.all[1].exact
            #expect(worstUlps(Array(y.dropLast()), zip(gate, up).map { gelu(Double($0)) * Double($1) }) <= 0.51 && y.last == 777)
        }
    }

    @Test(arguments: InstructionSet.supported)
    func sums(_ set: InstructionSet) {
        var random = SplitMix64(seed: 14)
        for columns in 1...67 {
            let rows = 3, count = rows * columns
            let a = random.floats(count), b = random.floats(count), row = random.floats(columns)
            var y = [Float](repeating: 777, count: count + 1)
            unsafe ck_add(set.code, a, b, &y, count)
            #expect(y == zip(a, b).map { $0 + $1 } + [777])

            y = a + [777]
            unsafe ck_residual_gate(set.code, &y, row, b, rows, columns)
            #expect(y == a.indices.map { Float(Double(a[$0]) + Double(row[$0 % columns]) * Double(b[$0])) } + [777])

            y = a + [777]
            unsafe ck_residual_gate(set.code, &y, nil, b, rows, columns)
            #expect(y == zip(a, b).map { $0 + $1 } + [777])
        }
    }
}
