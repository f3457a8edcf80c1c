import CKernels
import Glibc
import TestKit
import Testing

/// Blocks times Hadamard matrices: the same bits on every set, and what the matrices say.
@Suite struct TurnTests {
    /// Sums and differences of pairs, then the factor: schemes.md, "turn", in plain loops.
    private func reference(_ row: [Float], most: Int) -> [Float] {
        var result = row
        var start = 0
        while start < row.count {
            var size = 1
            while 2 * size <= min(row.count - start, most) { size *= 2 }
            var step = 1
            while step < size {
                let before = result
                for i in 0..<size {
                    let (own, partner) = (before[start + i], before[start + i ^ step])
                    result[start + i] = i & step == 0 ? own + partner : partner - own
                }
                step *= 2
            }
            for i in start..<start + size { result[i] *= Float(1 / Double(size).squareRoot()) }
            start += size
        }
        return result
    }

    @Test(arguments: InstructionSet.supported, [32, 1 << 20]) func followsTheDefinitionBitForBit(_ set: InstructionSet, _ most: Int) {
        var random = SplitMix64(seed: 11)
        for columns in [1, 2, 3, 8, 31, 32, 33, 64, 100, 128, 224, 480, 1000, 2240, 5600] {
            let stride = columns + 5
            let x = random.floats(3 * stride, range: 4)
            let before = (0..<columns).map { _ in scalbnf(1, Int32.random(in: -9...9, using: &random)) }
            var y = [Float](repeating: 7, count: 3 * columns + 1)
            unsafe ck_turn_rows(set.code, x, stride, nil, &y, columns, nil, 3, columns, most)
            #expect(y.last == 7, "wrote past the end")
            for row in 0..<3 {
                #expect(Array(y[row * columns..<(row + 1) * columns]) == reference(Array(x[row * stride..<row * stride + columns]), most: most))
            }
            unsafe ck_turn_rows(set.code, x, stride, before, &y, columns, before, 3, columns, most)
            let scaled = reference(zip(x[stride..<stride + columns], before).map { $0 * $1 }, most: most)
            #expect(Array(y[columns..<2 * columns]) == zip(scaled, before).map { $0 * $1 })
        }
    }

    @Test(arguments: InstructionSet.supported) func isTheMatrixAndItsOwnInverse(_ set: InstructionSet) {
        var random = SplitMix64(seed: 12)
        // Blocks of 64, 32 and 4.
        let x = random.floats(100)
        var y = x
        unsafe y.withUnsafeMutableBytes { unsafe ck_turn_rows(set.code, $0.baseAddress, 100, nil, $0.baseAddress, 100, nil, 1, 100, 1 << 20) }
        for (start, size) in [(0, 64), (64, 32), (96, 4)] {
            for i in 0..<size {
                let sum = (0..<size).reduce(0.0) { $0 + Double(x[start + $1]) * ((i & $1).nonzeroBitCount % 2 == 0 ? 1 : -1) }
                #expect(abs(Double(y[start + i]) - sum / Double(size).squareRoot()) < 1e-6)
            }
        }
        unsafe y.withUnsafeMutableBytes { unsafe ck_turn_rows(set.code, $0.baseAddress, 100, nil, $0.baseAddress, 100, nil, 1, 100, 1 << 20) }
        for (back, value) in zip(y, x) { #expect(abs(back - value) < 1e-6) }
    }
}
