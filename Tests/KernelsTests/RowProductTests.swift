import CKernels
import TestKit
import Testing

@Suite struct RowProductTests {
    private static let shapes: [(n: Int, k: Int)] = [(1, 1), (3, 15), (2, 16), (5, 17), (1, 33), (7, 130), (0, 4), (4, 0)]

    private func product(_ set: InstructionSet, _ x: [Float], _ w: [Float], _ start: [Float], adds: Bool) -> [Float] {
        var y = start
        unsafe x.withUnsafeBytes { x in
            unsafe w.withUnsafeBytes { w in
                unsafe y.withUnsafeMutableBytes { y in
                    let (n, k) = (y.count / 4, x.count / 4)
                    unsafe ck_row_product(set.code, x.baseAddress, w.baseAddress, y.baseAddress, n, k, adds)
                }
            }
        }
        return y
    }

    /// The sum of doubles is far more exact than the one rounding at its end.
    @Test(arguments: InstructionSet.supported, [false, true])
    func isWithinOneRoundingOfTheExactSum(_ set: InstructionSet, adds: Bool) {
        var random = SplitMix64(seed: 21)
        for shape in Self.shapes {
            let (x, w, start) = (random.floats(shape.k), random.floats(shape.n * shape.k), random.floats(shape.n))
            let y = product(set, x, w, start, adds: adds)
            for row in 0..<shape.n {
                let sum = (0..<shape.k).reduce(adds ? Double(start[row]) : 0) { $0 + Double(x[$1]) * Double(w[row * shape.k + $1]) }
                #expect(ulps(y[row], sum) <= 0.51, "\(shape), row \(row)")
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func everySetGivesTheBitsOfThePlainOne(_ set: InstructionSet) {
        var random = SplitMix64(seed: 22)
        for shape in Self.shapes {
            let (x, w, start) = (random.floats(shape.k), random.floats(shape.n * shape.k), random.floats(shape.n))
            #expect(sameBits(product(set, x, w, start, adds: true), product(.plain, x, w, start, adds: true)))
        }
    }
}
