import CKernels
import TestKit
import Testing

@Suite struct ConvolutionTests {
    @Test(
        arguments: InstructionSet.supported,
        [(1, 1, 1, 3), (1, 1, 9, 5), (2, 3, 8, 3), (3, 2, 17, 5), (5, 7, 24, 3), (6, 5, 67, 5), (4, 4, 8, 1), (2, 2, 3, 7)])
    func depthwiseMatchesItsDefinition(_ set: InstructionSet, _ shape: (h: Int, w: Int, c: Int, ks: Int)) {
        let (h, w, c, ks) = shape
        var random = SplitMix64(seed: 25)
        let x = random.floats(h * w * c), weight = random.floats(ks * ks * c), bias = random.floats(c)
        for bias in [nil, bias] {
            let y = run(set, rows: [0..<h], bias: bias), pad = ks / 2
            for i in y.indices {
                let (row, column, channel) = (i / c / w, i / c % w, i % c)
                var exact = Double(bias?[channel] ?? 0)
                for ky in 0..<ks {
                    for kx in 0..<ks {
                        let (from, at) = (row + ky - pad, column + kx - pad)
                        guard (0..<h).contains(from), (0..<w).contains(at) else { continue }
                        exact += Double(x[(from * w + at) * c + channel]) * Double(weight[(ky * ks + kx) * c + channel])
                    }
                }
                #expect(abs(Double(y[i]) - exact) <= 0.5 * Double(Float(exact).ulp) + 1e-13)
            }
            #expect(sameBits(y, run(.plain, rows: [0..<h], bias: bias)))
            #expect(sameBits(y, run(set, rows: [h / 2..<h, 0..<h / 2], bias: bias)), "bands")
        }

        func run(_ set: InstructionSet, rows: [Range<Int>], bias: [Float]?) -> [Float] {
            var y = [Float](repeating: 777, count: h * w * c + 1)
            for band in rows {
                if let bias {
                    unsafe ck_depthwise(set.code, x, weight, bias, &y, h, w, c, ks, band.lowerBound, band.upperBound)
                } else {
                    unsafe ck_depthwise(set.code, x, weight, nil, &y, h, w, c, ks, band.lowerBound, band.upperBound)
                }
            }
            #expect(y.removeLast() == 777)
            return y
        }
    }
}
