import CKernels
import TestKit
import Testing

/// Few rows of floats times int8 weights, against sums in double.
struct GemmW8Tests {
    struct Size: Sendable { let rows, channels, depth: Int }
    static let sizes = [
        Size(rows: 1, channels: 1, depth: 1), Size(rows: 1, channels: 7, depth: 15), Size(rows: 2, channels: 6, depth: 16),
        Size(rows: 3, channels: 13, depth: 17),
        Size(rows: 4, channels: 2, depth: 33), Size(rows: 5, channels: 25, depth: 7), Size(rows: 21, channels: 31, depth: 131),
        Size(rows: 64, channels: 12, depth: 2304),
    ]

    @Test(arguments: InstructionSet.supported, sizes) func sumsAreWithinRounding(set: InstructionSet, size: Size) {
        var random = SplitMix64(seed: 5)
        // Rows lie further apart than they are long.
        let (stepX, stepY) = (size.depth + 3, size.channels + 2)
        let x = random.floats(size.rows * stepX)
        let w = random.bytes(size.channels * size.depth)
        let (s, bias) = (random.floats(size.channels, range: 0.01), random.floats(size.channels))
        for bias in [nil, bias] {
            var y = [Float](repeating: 777, count: size.rows * stepY)
            unsafe bias.withOptionalPointer { bias in
                unsafe ck_w8a32_linear(set.code, x, stepX, w, s, bias, &y, stepY, size.rows, size.channels, size.depth)
            }
            for row in 0..<size.rows {
                for channel in 0..<stepY {
                    let value = y[row * stepY + channel]
                    guard channel < size.channels else {
                        #expect(value == 777, "wrote between rows")
                        continue
                    }
                    var (sum, magnitude) = (0.0, 0.0)
                    for i in 0..<size.depth {
                        let product = Double(x[row * stepX + i]) * Double(w[channel * size.depth + i]) * Double(s[channel])
                        sum += product
                        magnitude += abs(product)
                    }
                    let offset = Double(bias?[channel] ?? 0)
                    let bound = 0x1p-24 * (Double(size.depth / 16 + 8) * magnitude + 2 * abs(sum) + 2 * abs(offset))
                    #expect(abs(Double(value) - (sum + offset)) <= bound, "\(row), \(channel)")
                }
            }
        }
    }
}

extension Optional<[Float]> {
    fileprivate func withOptionalPointer(_ body: (UnsafePointer<Float>?) -> Void) {
        guard let array = self else { return body(nil) }
        unsafe array.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }
}
