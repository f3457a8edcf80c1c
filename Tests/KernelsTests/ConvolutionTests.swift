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

    @Test(
        arguments: InstructionSet.supported, [(1, 1, 1, 1), (1, 1, 3, 2), (2, 3, 2, 1), (2, 3, 2, 2), (5, 4, 3, 1), (5, 4, 3, 2), (7, 8, 1, 2), (6, 9, 5, 2)])
    func unfoldingPutsEveryTapInItsColumn(_ set: InstructionSet, _ shape: (h: Int, w: Int, c: Int, stride: Int)) {
        let (h, w, c, stride) = shape
        var random = SplitMix64(seed: 26)
        let x = random.floats(h * w * c)
        let ho = Int(ck_conv3x3_output(h, stride)), wo = Int(ck_conv3x3_output(w, stride))
        #expect(ho == (h + 2 - 3) / stride + 1 && wo == (w + 2 - 3) / stride + 1)
        for band in [0..<ho, ho / 2..<ho] {
            let count = band.count * wo * 9 * c
            var out = [Float](repeating: 777, count: count + 1)
            unsafe ck_im2col3x3(set.code, x, &out, h, w, c, stride, band.lowerBound, band.upperBound)
            #expect(out.removeLast() == 777)
            let wrong = out.indices.first { i in
                let (pixel, tap, channel) = (i / (9 * c), i / c % 9, i % c)
                let (row, column) = ((band.lowerBound + pixel / wo) * stride + tap / 3 - 1, pixel % wo * stride + tap % 3 - 1)
                let inside = (0..<h).contains(row) && (0..<w).contains(column)
                return out[i] != (inside ? x[(row * w + column) * c + channel] : 0)
            }
            #expect(wrong == nil)
        }
    }

    @Test func noImageNoOutput() {
        #expect(ck_conv3x3_output(0, 1) == 0 && ck_conv3x3_output(0, 2) == 0)
    }
}
