import CKernels
import TestKit
import Testing

/// The two kernels that weights are encoded and judged with: the same bits on every set, and sums that float64 agrees with.
@Suite struct DistanceTests {
    private struct Rows: Equatable {
        var q: [Int8]
        var s: [Float]
        var sums: [Double]
    }

    private func encode(_ set: InstructionSet, _ x: [Float], rows: Int, columns: Int) -> Rows {
        var result = Rows(
            q: [Int8](repeating: 99, count: rows * columns + 1), s: [Float](repeating: -1, count: rows + 1), sums: [Double](repeating: -1, count: 3 * rows + 1))
        unsafe ck_quantize_rows_s8_distance(set.code, x, &result.q, &result.s, &result.sums, rows, columns)
        #expect(result.q.last == 99 && result.s.last == -1 && result.sums.last == -1, "wrote past the end")
        return result
    }

    @Test(arguments: InstructionSet.supported) func quantizesAsTheContractSays(_ set: InstructionSet) {
        var random = SplitMix64(seed: 3)
        for columns in Array(1...67) + [127, 128, 129, 1000] {
            let x = random.floats(3 * columns, range: 0.2)
            var q = [Int8](repeating: 0, count: 3 * columns), s = [Float](repeating: 0, count: 3), decoded = [Float](repeating: 0, count: 3 * columns)
            unsafe ck_quantize_rows_s8(CK_ISA_PLAIN, x, columns, &q, &s, 3, columns)
            unsafe ck_dequantize_rows_s8(CK_ISA_PLAIN, q, s, &decoded, columns, 3, columns)
            let found = encode(set, x, rows: 3, columns: columns)
            #expect(Array(found.q.dropLast()) == q && Array(found.s.dropLast()) == s, "\(columns)")
            var sums = [Double](repeating: 0, count: 9)
            unsafe ck_distance_rows(set.code, decoded, x, &sums, 3, columns)
            #expect(Array(found.sums.dropLast()) == sums, "\(columns): one pass and two give the same bits")
            #expect(found == encode(.plain, x, rows: 3, columns: columns), "\(columns)")
        }
    }

    /// bf16 numbers straight from a checkpoint, against their widened selves: subnormal ones, rows of zeros and both ends of the range included.
    @Test(arguments: InstructionSet.supported) func encodesBF16AsIfWidened(_ set: InstructionSet) {
        var random = SplitMix64(seed: 4)
        for columns in Array(1...67) + [127, 128, 129, 255, 1000] {
            var x = random.floats(4 * columns, range: 0.2).map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) }
            for index in columns..<2 * columns { x[index] = UInt16.random(in: 0...0x7F, using: &random) | (index.isMultiple(of: 3) ? 0x8000 : 0) }
            for index in 2 * columns..<3 * columns { x[index] = index.isMultiple(of: 2) ? 0 : 0x8000 }
            x[3 * columns] = 0xFF7F
            let widened = x.map { Float(bitPattern: UInt32($0) << 16) }
            let expected = encode(.plain, widened, rows: 4, columns: columns)
            var found = Rows(
                q: [Int8](repeating: 99, count: 4 * columns + 1), s: [Float](repeating: -1, count: 5), sums: [Double](repeating: -1, count: 13))
            let done = unsafe ck_quantize_rows_bf16_s8_distance(set.code, x, &found.q, &found.s, &found.sums, 4, columns)
            #expect(done == 4 && found == expected, "\(columns)")
        }
    }

    @Test(arguments: InstructionSet.supported) func stopsAtRowsThatAreNotFinite(_ set: InstructionSet) {
        for columns in [1, 16, 17, 128, 200] {
            for bits: UInt16 in [0x7F80, 0xFF80, 0x7FC0, 0xFF81] {
                for column in Set([0, columns / 2, columns - 1]) {
                    var x = [UInt16](repeating: 0x3F80, count: 3 * columns)
                    x[columns + column] = bits
                    var q = [Int8](repeating: 0, count: 3 * columns), s = [Float](repeating: 0, count: 3), sums = [Double](repeating: 0, count: 9)
                    let done = unsafe ck_quantize_rows_bf16_s8_distance(set.code, x, &q, &s, &sums, 3, columns)
                    #expect(done == 1, "\(columns), \(column)")
                }
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func sumsAreThoseOfFloat64(_ set: InstructionSet) {
        var random = SplitMix64(seed: 5)
        for columns in [1, 15, 16, 17, 33, 2240] {
            let (a, b) = (random.floats(2 * columns), random.floats(2 * columns))
            var sums = [Double](repeating: 0, count: 6)
            unsafe ck_distance_rows(set.code, a, b, &sums, 2, columns)
            for row in 0..<2 {
                let range = row * columns..<(row + 1) * columns
                let differences = range.map { abs(Double(a[$0]) - Double(b[$0])) }
                let noise = differences.reduce(0) { $0 + $1 * $1 }
                let signal = range.reduce(0.0) { $0 + Double(b[$1]) * Double(b[$1]) }
                #expect(abs(sums[3 * row] - noise) <= 1e-13 * noise && abs(sums[3 * row + 1] - signal) <= 1e-13 * signal)
                #expect(sums[3 * row + 2] == differences.max())
            }
        }
    }

    /// What has no distance counts for nothing, in whole lanes and in the last ones.
    @Test(arguments: InstructionSet.supported) func nonfiniteSourcesCountForNothing(_ set: InstructionSet) {
        var source = [Float](repeating: 2, count: 37), decoded = [Float](repeating: 1, count: 37)
        for (index, value) in [(0, Float.nan), (20, .infinity), (36, -.infinity)] { (source[index], decoded[index]) = (value, value) }
        var sums = [Double](repeating: 0, count: 3)
        unsafe ck_distance_rows(set.code, decoded, source, &sums, 1, 37)
        #expect(sums == [34, 4 * 34, 1])
    }

    @Test(arguments: InstructionSet.supported) func zerosHaveScaleOneAndNoDistance(_ set: InstructionSet) {
        let found = encode(set, [Float](repeating: 0, count: 19), rows: 1, columns: 19)
        #expect(found.s[0] == 1 && found.sums.dropLast() == [0, 0, 0] && found.q.dropLast().allSatisfy { $0 == 0 })
    }
}
