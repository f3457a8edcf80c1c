import CKernels
import TestKit
import Testing

private func quantize(_ set: InstructionSet, _ x: [Float], rows: Int, columns: Int, stride: Int) -> (q: [Int8], s: [Float]) {
    var q = [Int8](repeating: 99, count: rows * columns + 1)
    var s = [Float](repeating: -1, count: rows + 1)
    unsafe ck_quantize_rows_s8(set.code, x, stride, &q, &s, rows, columns)
    #expect(q.last == 99 && s.last == -1, "wrote past the end")
    return (Array(q.dropLast()), Array(s.dropLast()))
}

/// The integer contract, word for word.
private func reference(_ row: some Collection<Float>) -> (q: [Int8], s: Float) {
    let quotient = (row.map(\.magnitude).max() ?? 0) / 127
    let s = quotient == 0 ? 1 : quotient
    return (row.map { Int8(max(-127, min(127, ($0 / s).rounded(.toNearestOrEven)))) }, s)
}

@Suite struct QuantizeTests {
    @Test(arguments: InstructionSet.supported)
    func followsTheContractAtEveryWidth(_ set: InstructionSet) {
        var random = SplitMix64(seed: 1)
        for columns in Array(1...67) + [255, 1024] {
            let rows = 3, stride = columns + 2
            let x = random.floats(rows * stride, range: 10)
            let (q, s) = quantize(set, x, rows: rows, columns: columns, stride: stride)
            for row in 0..<rows {
                let expected = reference(x[row * stride..<row * stride + columns])
                #expect(s[row] == expected.s)
                #expect(Array(q[row * columns..<(row + 1) * columns]) == expected.q)
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func roundsTiesToEven(_ set: InstructionSet) {
        let x: [Float] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 125.5, -126.5, 0.49999997, -127]
        let (q, s) = quantize(set, x, rows: 1, columns: x.count, stride: x.count)
        #expect(s == [1])
        #expect(q == [127, 0, 2, 2, 0, -2, -2, 126, 126, -126, 0, -127])
    }

    /// Numbers next to x.5 quotients, where x * (1 / s) in place of x / s rounds to the other side.
    @Test(arguments: InstructionSet.supported)
    func dividesByTheScale(_ set: InstructionSet) {
        var random = SplitMix64(seed: 27), differs = 0
        for _ in 0..<20 {
            let absmax = Float.random(in: 0.1...10, using: &random), s = absmax / 127
            let middles = (-127..<127).map { (Float($0) + 0.5) * s }
            let x = [absmax] + middles.flatMap { [$0, $0.nextUp, $0.nextDown] }
            let (q, scales) = quantize(set, x, rows: 1, columns: x.count, stride: x.count)
            #expect(scales == [s] && q == reference(x).q)
            differs += zip(x, q).count { Float($1) != ($0 * (1 / s)).rounded(.toNearestOrEven) }
        }
        #expect(differs > 0, "the inputs tell division and multiplication apart")
    }

    @Test(arguments: InstructionSet.supported)
    func zerosHaveScaleOne(_ set: InstructionSet) {
        let (q, s) = quantize(set, [Float](repeating: -0.0, count: 40), rows: 1, columns: 40, stride: 40)
        #expect(s == [1] && q.allSatisfy { $0 == 0 })
    }

    /// Subnormal scales are coarse, so that x / s exceeds 127 and the clamp matters; the least numbers underflow to scale 1.
    @Test(arguments: InstructionSet.supported)
    func followsTheContractOnSubnormals(_ set: InstructionSet) {
        for bits in Array(UInt32(1)...400) + [1000, 8191, 0x7FFFFF, 0x800000, 0x3FFFFFF] {
            let x = [Float(bitPattern: bits), -Float(bitPattern: bits), Float(bitPattern: bits / 2), 0] + [Float](repeating: .leastNonzeroMagnitude, count: 33)
            let (q, s) = quantize(set, x, rows: 1, columns: x.count, stride: x.count)
            let expected = reference(x)
            #expect(s == [expected.s] && q == expected.q, "bits \(bits)")
        }
        #expect(quantize(set, [.leastNonzeroMagnitude], rows: 1, columns: 1, stride: 1).s == [1])
    }

    @Test(arguments: InstructionSet.supported)
    func largestNumbers(_ set: InstructionSet) {
        let x: [Float] = [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 1]
        let (q, s) = quantize(set, x, rows: 1, columns: 3, stride: 3)
        #expect(q == [127, -127, 0] && s == [Float.greatestFiniteMagnitude / 127])
    }

    @Test(arguments: InstructionSet.supported)
    func nonFiniteInputIsDefined(_ set: InstructionSet) {
        var x = [Float](repeating: 1, count: 70)
        x[3] = .nan
        x[68] = .nan
        var (q, s) = quantize(set, x, rows: 1, columns: 70, stride: 70)
        #expect(s == [1 / 127] && q[3] == -127 && q[68] == -127 && q[0] == 127)
        x[3] = .infinity
        x[68] = 2
        (q, s) = quantize(set, x, rows: 1, columns: 70, stride: 70)
        #expect(s == [.infinity] && q[3] == -127 && q[0] == 0)
    }

    @Test(arguments: InstructionSet.supported)
    func dequantizesWithOneRounding(_ set: InstructionSet) {
        let q = (-127...127).map(Int8.init), s: [Float] = [0.1, 3]
        var y = [Float](repeating: 5, count: 2 * 256)
        unsafe ck_dequantize_rows_s8(set.code, q + q, s, &y, 256, 2, 255)
        for row in 0..<2 {
            for i in 0..<255 { #expect(y[row * 256 + i] == Float(q[i]) * s[row]) }
            #expect(y[row * 256 + 255] == 5)
        }
    }
}
