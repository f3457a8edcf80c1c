import CKernels
import TestKit
import Testing

/// Blocks of 32 times the Hadamard matrix: the same bits on every set, and what the matrix says.
@Suite struct RotateTests {
    /// Five times sums and differences of pairs, then the factor: schemes.md, "int8-rotated", in plain loops.
    private func reference(_ row: [Float]) -> [Float] {
        var result = row
        for start in stride(from: 0, to: row.count, by: 32) {
            for step in [1, 2, 4, 8, 16] {
                let before = result
                for i in 0..<32 {
                    let (own, partner) = (before[start + i], before[start + i ^ step])
                    result[start + i] = i & step == 0 ? own + partner : partner - own
                }
            }
            for i in start..<start + 32 { result[i] *= Float(bitPattern: 0x3e35_04f3) }
        }
        return result
    }

    @Test(arguments: InstructionSet.supported) func followsTheDefinitionBitForBit(_ set: InstructionSet) {
        var random = SplitMix64(seed: 11)
        for blocks in [1, 2, 3, 7] {
            let (columns, stride) = (32 * blocks, 32 * blocks + 5)
            let x = random.floats(3 * stride, range: 4)
            var y = [Float](repeating: 7, count: 3 * columns + 1)
            unsafe ck_rotate_rows(set.code, x, stride, &y, columns, 3, columns)
            #expect(y.last == 7, "wrote past the end")
            for row in 0..<3 {
                #expect(Array(y[row * columns..<(row + 1) * columns]) == reference(Array(x[row * stride..<row * stride + columns])))
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func isTheMatrixAndItsOwnInverse(_ set: InstructionSet) {
        var random = SplitMix64(seed: 12)
        let x = random.floats(64)
        var y = x
        unsafe y.withUnsafeMutableBytes { unsafe ck_rotate_rows(set.code, $0.baseAddress, 64, $0.baseAddress, 64, 1, 64) }
        for start in [0, 32] {
            for i in 0..<32 {
                let sum = (0..<32).reduce(0.0) { $0 + Double(x[start + $1]) * ((i & $1).nonzeroBitCount % 2 == 0 ? 1 : -1) }
                #expect(abs(Double(y[start + i]) - sum / 32.0.squareRoot()) < 1e-6)
            }
        }
        unsafe y.withUnsafeMutableBytes { unsafe ck_rotate_rows(set.code, $0.baseAddress, 64, $0.baseAddress, 64, 1, 64) }
        for (back, value) in zip(y, x) { #expect(abs(back - value) < 1e-6) }
    }
}
