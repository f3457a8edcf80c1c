import CKernels
import TestKit
import Testing

/// Four-bit codes with a multiplier for each group: the same bits on every set, and what they stand for.
@Suite struct GroupedTests {
    private struct Rows: Equatable {
        var codes: [UInt8], multipliers: [UInt8], scales: [Float]

        init(_ set: InstructionSet, _ x: [Float], rows: Int) {
            let columns = x.count / rows
            // One more of each, which nobody may touch.
            codes = [UInt8](repeating: 99, count: x.count / 2 + 1)
            multipliers = [UInt8](repeating: 99, count: rows * ((columns / 32 + 1) / 2) + 1)
            scales = [Float](repeating: 99, count: rows + 1)
            unsafe ck_quantize_rows_grouped(set.code, x, &codes, &multipliers, &scales, rows, columns)
        }

        func expanded(_ set: InstructionSet, rows: Int) -> [Int8] {
            var result = [Int8](repeating: 99, count: 2 * (codes.count - 1) + 1)
            unsafe ck_expand_rows_grouped(set.code, codes, multipliers, &result, rows, 2 * (codes.count - 1) / rows)
            return result
        }
    }

    private static func samples(_ rows: Int, _ columns: Int) -> [Float] {
        var random = SplitMix64(seed: UInt64(columns))
        var x = random.floats(rows * columns, range: 2)
        // Groups of other sizes, zeros, and what a float32 can just hold.
        for index in 0..<32 { x[index] *= 0.01 }
        for index in columns - 32..<columns { x[index] = 0 }
        if rows > 1 { for index in columns..<2 * columns { x[index] = 0 } }
        if rows > 2 { for index in 2 * columns..<3 * columns { x[index] *= 1e38 } }
        if rows > 3 { for index in 3 * columns..<4 * columns { x[index] *= 0x1p-140 } }
        return x
    }

    @Test(arguments: InstructionSet.supported, [32, 64, 96, 128, 192, 1152, 2304, 5600]) func isTheSameOnEverySet(_ set: InstructionSet, _ columns: Int) {
        let x = Self.samples(5, columns)
        let (found, plain) = (Rows(set, x, rows: 5), Rows(.plain, x, rows: 5))
        #expect(found == plain)
        #expect(found.codes.last == 99 && found.multipliers.last == 99 && found.scales.last == 99, "wrote past the end")
        if columns % 64 != 0 { #expect(found.multipliers[(columns / 32 + 1) / 2 - 1] >> 4 == 1, "the half that no group has") }
        #expect(found.expanded(set, rows: 5) == plain.expanded(.plain, rows: 5) && found.expanded(set, rows: 5).last == 99)
    }

    @Test(arguments: InstructionSet.supported) func eachCodeIsTheNearestOfItsGroup(_ set: InstructionSet) {
        let (rows, columns) = (5, 224)
        let x = Self.samples(rows, columns)
        let found = Rows(set, x, rows: rows)
        let codes = found.expanded(set, rows: rows)
        for (index, value) in x.enumerated() {
            let group = index % columns / 32
            let multiplier = Int(found.multipliers[index / columns * 4 + group / 2] >> UInt8(4 * (group % 2)) & 15)
            #expect((1...15).contains(multiplier) && Int(codes[index]) % multiplier == 0)
            let steps = Double(value) / Double(found.scales[index / columns]) / Double(multiplier)
            let nearest = min(7, max(-8, steps.rounded(.toNearestOrEven)))
            #expect(abs(Double(Int(codes[index]) / multiplier) - nearest) <= (abs(abs(steps - steps.rounded(.down)) - 0.5) < 1e-5 ? 1 : 0))
        }
    }

    /// Against the best multiplier there is, and half the error of one step for the whole row.
    @Test func multipliersAreWorthTheirBits() {
        var random = SplitMix64(seed: 3)
        let x = (0..<64 * 32).map { index in random.floats(1, range: 1)[0] * Float(1 + index / 32 % 8) }
        let found = Rows(.plain, x, rows: 1)
        let (codes, scale) = (found.expanded(.plain, rows: 1), found.scales[0])
        func lost(_ multiplier: (Int) -> Int) -> [Double] {
            (0..<64).map { group in
                let step = scale * Float(multiplier(group))
                return (group * 32..<group * 32 + 32).reduce(0.0) { sum, index in
                    let code = min(7, max(-8, (x[index] / step).rounded(.toNearestOrEven)))
                    return sum + Double((x[index] - code * step) * (x[index] - code * step))
                }
            }
        }
        let own = (0..<64).map { group in
            (group * 32..<group * 32 + 32).reduce(0.0) { $0 + Double((x[$1] - Float(codes[$1]) * scale) * (x[$1] - Float(codes[$1]) * scale)) }
        }
        let every = (1...15).map { multiplier in lost { _ in multiplier } }
        let least = (0..<64).map { group in every.map { $0[group] }.min() ?? 0 }
        #expect(own.reduce(0, +) < 1.01 * least.reduce(0, +), "the four that are tried have the best of fifteen, nearly always")
        #expect(own.reduce(0, +) < 0.5 * lost { _ in 15 }.reduce(0, +))
    }
}
