import CKernels
import Glibc
import TestKit
import Testing

/// A band of rows of an image with its padding, in floats and quantized, and weights.
private struct Scene {
    let set: InstructionSet, width: Int, channels: Int, outputs: Int
    var rows: [[Float]?] = []
    var weights: [Float], codes: [Int8], bias: [Float], steps: [Float]

    init(_ set: InstructionSet, rows: Int, width: Int, channels: Int, outputs: Int, seed: UInt64) {
        var random = SplitMix64(seed: seed)
        (self.set, self.width, self.channels, self.outputs) = (set, width, channels, outputs)
        let pad = [Float](repeating: 0, count: channels)
        for _ in 0..<rows { self.rows.append(pad + random.floats(width * channels) + pad) }
        (weights, codes) = (random.floats(outputs * 9 * channels), random.bytes(outputs * 9 * channels))
        (bias, steps) = (random.floats(outputs), random.floats(outputs, range: 0.01))
    }

    /// Every pixel twice as wide and high; rows between, above and below as they would lie in the doubled image.
    var doubled: Scene {
        var result = self
        result = Scene(set, width: 2 * width, like: self)
        for (index, row) in rows.enumerated() {
            var wide: [Float]?
            if let row {
                wide = []
                for column in 0..<2 * width + 2 {
                    let first = (column + 1) / 2 * channels
                    wide? += row[first..<first + channels]
                }
            }
            let isEdge = index == 0 || index + 1 == rows.count
            result.rows += isEdge ? [wide] : [wide, wide]
        }
        return result
    }

    private init(_ set: InstructionSet, width: Int, like other: Scene) {
        (self.set, self.width, channels, outputs) = (set, width, other.channels, other.outputs)
        (weights, codes, bias, steps) = (other.weights, other.codes, other.bias, other.steps)
    }

    private func withPointers<Result>(_ lines: [[UInt8]?], _ body: ([UnsafeRawPointer?]) -> Result) -> Result {
        // Each line at a place of its own that does not move while the kernel reads it.
        let copies = unsafe lines.map { line in
            unsafe line.map { line in
                let copy = UnsafeMutableRawPointer.allocate(byteCount: max(1, line.count), alignment: 64)
                unsafe copy.copyMemory(from: line, byteCount: line.count)
                return UnsafeRawPointer(copy)
            }
        }
        defer { unsafe copies.forEach { unsafe $0?.deallocate() } }
        return unsafe body(copies)
    }

    private static func bytes<Element>(_ values: [Element]) -> [UInt8] { unsafe values.withUnsafeBytes { unsafe Array($0) } }

    /// What the kernels read of each row: pixels, and scales of integers.
    private func lines(integer: Bool) -> (pixels: [[UInt8]?], scales: [[UInt8]?]) {
        guard integer else { return (rows.map { $0.map(Self.bytes) }, []) }
        let size = ck_conv_i8_pixel_bytes(set.code, channels)
        var (pixels, scales) = ([[UInt8]?](), [[UInt8]?]())
        for row in rows {
            guard let row else {
                pixels.append(nil)
                scales.append(nil)
                continue
            }
            var (q, s) = ([UInt8](repeating: 7, count: (width + 2) * size + 1), [Float](repeating: 7, count: width + 3))
            unsafe ck_conv_i8_quantize(set.code, row, channels, &q, &s, width + 2)
            #expect(q.removeLast() == 7 && s.removeLast() == 7)
            pixels.append(q)
            scales.append(Self.bytes(s))
        }
        return (pixels, scales)
    }

    private func packed(integer: Bool) -> [UInt64] {
        let size = integer ? ck_conv_i8_packed_bytes(set.code, outputs, channels) : ck_conv_f32_packed_bytes(set.code, outputs, channels)
        var memory = [UInt64](repeating: 0xA5A5_A5A5_A5A5_A5A5, count: size / 8 + 2)
        if integer {
            unsafe ck_conv_i8_pack(set.code, codes, outputs, channels, &memory)
        } else {
            unsafe ck_conv_f32_pack(set.code, weights, outputs, channels, &memory)
        }
        #expect(unsafe memory.withUnsafeBytes { unsafe $0[size..<size + 8].allSatisfy { $0 == 0xA5 } }, "packing wrote past its size")
        return memory
    }

    private func withWeights(integer: Bool, _ body: (ck_conv_weights) -> Void) {
        unsafe packed(integer: integer).withUnsafeBytes { packed in
            unsafe steps.withUnsafeBufferPointer { steps in
                unsafe bias.withUnsafeBufferPointer { bias in
                    unsafe body(
                        ck_conv_weights(
                            c: channels, n: outputs, packed: packed.baseAddress, sw: integer ? steps.baseAddress : nil, bias: bias.baseAddress))
                }
            }
        }
    }

    /// Output row `row`, whose taps meet the rows from `row` on; pixels in the given ranges.
    func convolve(_ row: Int = 0, integer: Bool, step: Int = 1, ranges: [Range<Int>]? = nil) -> [Float] {
        let columns = (width + step - 1) / step
        let (pixels, scales) = lines(integer: integer)
        var y = [Float](repeating: 777, count: columns * outputs + 1)
        unsafe withPointers(Array(pixels[row..<row + 3])) { pixels in
            unsafe withPointers(integer ? Array(scales[row..<row + 3]) : []) { scales in
                for range in ranges ?? [0..<columns] {
                    unsafe withWeights(integer: integer) { weights in
                        unsafe ck_conv(set.code, weights, pixels, scales, step, range.lowerBound, range.upperBound, &y)
                    }
                }
            }
        }
        #expect(y.removeLast() == 777)
        return y
    }

    /// The rows of the doubled image that belong to all rows but the first and the last.
    func convolveDoubled(integer: Bool, ranges: [Range<Int>]) -> [[Float]] {
        let count = rows.count - 2, line = 2 * width * outputs
        let (pixels, scales) = lines(integer: integer)
        var y = [Float](repeating: 777, count: 2 * count * line)
        unsafe y.withUnsafeMutableBufferPointer { y in
            let targets: [UnsafeMutableRawPointer?] = unsafe (0..<2 * count).map { unsafe UnsafeMutableRawPointer(y.baseAddress! + $0 * line) }
            unsafe withPointers(pixels) { pixels in
                unsafe withPointers(scales) { scales in
                    for range in ranges {
                        unsafe withWeights(integer: integer) { weights in
                            unsafe ck_upconv(set.code, weights, pixels, scales, count, range.lowerBound, range.upperBound, targets)
                        }
                    }
                }
            }
        }
        return (0..<2 * count).map { Array(y[$0 * line..<($0 + 1) * line]) }
    }

    /// The sum over taps and channels in double.
    func exact(step: Int) -> [Double] {
        (0..<(width + step - 1) / step * outputs).map { index in
            let (column, output) = (index / outputs * step, index % outputs)
            var sum = Double(bias[output])
            for tap in 0..<9 {
                guard let row = rows[tap / 3] else { continue }
                for channel in 0..<channels {
                    sum += Double(row[(column + tap % 3) * channels + channel]) * Double(weights[(output * 9 + tap) * channels + channel])
                }
            }
            return sum
        }
    }

    /// The integer contract, written out.
    func contract(step: Int) -> [Float] {
        let quantized = rows.prefix(3).map { row in
            row.map { row in
                (0..<width + 2).map { pixel -> ([Int64], Float) in
                    let values = row[pixel * channels..<(pixel + 1) * channels]
                    let largest = values.map(\.magnitude).max() ?? 0
                    let scale = largest / 127 == 0 ? 1 : largest / 127
                    return (values.map { Int64(max(-127, min(127, ($0 / scale).rounded(.toNearestOrEven)))) }, scale)
                }
            }
        }
        return (0..<(width + step - 1) / step * outputs).map { index in
            let (column, output) = (index / outputs * step, index % outputs)
            var sum: Float = 0
            for tap in 0..<9 {
                guard let row = quantized[tap / 3], (1...width).contains(column + tap % 3) else { continue }
                let (values, scale) = row[column + tap % 3]
                let accumulator = values.indices.reduce(Int64(0)) { $0 + values[$1] * Int64(codes[(output * 9 + tap) * channels + $1]) }
                sum.addProduct(scale, Float(accumulator))
            }
            return bias[output].addingProduct(sum, steps[output])
        }
    }
}

@Suite struct DenseConvolutionTests {
    /// Around every edge: tiles of pixels, panels of outputs, fours of channels, runs of 128 channels, chunks of 96 pixels.
    static let shapes = [(1, 1, 1), (2, 3, 2), (5, 4, 33), (11, 7, 3), (12, 8, 32), (13, 130, 31), (23, 5, 17), (50, 129, 65), (97, 6, 16), (193, 3, 2)]

    private static func scene(_ set: InstructionSet, _ shape: (width: Int, channels: Int, outputs: Int), rows: Int = 3) -> Scene {
        Scene(set, rows: rows, width: shape.width, channels: shape.channels, outputs: shape.outputs, seed: UInt64(shape.width * 1000 + shape.channels))
    }

    @Test(arguments: InstructionSet.supported, shapes) func float32MatchesFloat64(_ set: InstructionSet, _ shape: (Int, Int, Int)) {
        for missing in [nil, 0, 2] {
            var scene = Self.scene(set, shape)
            if let missing { scene.rows[missing] = nil }
            for step in [1, 2] {
                let (found, exact) = (scene.convolve(integer: false, step: step), scene.exact(step: step))
                let error = zip(found, exact).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }.squareRoot()
                let norm = exact.reduce(0.0) { $0 + $1 * $1 }.squareRoot()
                #expect(error <= 2.5e-7 * norm, "row \(missing ?? -1) missing, step \(step)")
            }
        }
    }

    @Test(arguments: InstructionSet.supported, shapes) func integersFollowTheContractToTheBit(_ set: InstructionSet, _ shape: (Int, Int, Int)) {
        for missing in [nil, 0, 2] {
            var scene = Self.scene(set, shape)
            if let missing { scene.rows[missing] = nil }
            for step in [1, 2] { #expect(sameBits(scene.convolve(integer: true, step: step), scene.contract(step: step))) }
        }
    }

    @Test(arguments: InstructionSet.supported, [false, true]) func rangesOfPixelsJoin(_ set: InstructionSet, _ integer: Bool) {
        let scene = Self.scene(set, (150, 9, 33))
        let whole = scene.convolve(integer: integer)
        #expect(sameBits(whole, scene.convolve(integer: integer, ranges: [100..<150, 0..<1, 1..<100])))
    }

    @Test(arguments: InstructionSet.supported, [false, true]) func doublingGivesTheBitsOfTheDoubledImage(_ set: InstructionSet, _ integer: Bool) {
        for (shape, rows) in zip([(1, 3, 5), (7, 130, 33), (24, 4, 6), (60, 9, 3)], [3, 4, 6, 5]) {
            for missing in [nil, 0, rows - 1] {
                var scene = Self.scene(set, shape, rows: rows)
                if let missing { scene.rows[missing] = nil }
                let (found, doubled) = (scene.convolveDoubled(integer: integer, ranges: [0..<shape.0 / 2, shape.0 / 2..<shape.0]), scene.doubled)
                for row in found.indices {
                    let expected = doubled.convolve(row, integer: integer)
                    // Few outputs in float32 take another kernel where nothing is doubled, which sums in another order.
                    if integer || shape.2 > 4 { #expect(sameBits(found[row], expected), "\(shape), row \(row)") }
                    let error = zip(found[row], expected).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }.squareRoot()
                    #expect(error <= 2.5e-7 * expected.reduce(0.0) { $0 + pow(Double($1), 2) }.squareRoot())
                }
            }
        }
    }

    /// All codes at their limits, at the largest depth the header allows a caller.
    @Test(arguments: InstructionSet.supported) func extremesDoNotOverflow(_ set: InstructionSet) {
        var scene = Scene(set, rows: 3, width: 1, channels: 65536, outputs: 1, seed: 1)
        for row in 0..<3 { scene.rows[row] = scene.rows[row]?.map { $0 == 0 ? 0 : 1 } }
        scene.codes = scene.codes.map { _ in -127 }
        #expect(sameBits(scene.convolve(integer: true), scene.contract(step: 1)))
    }

    @Test(arguments: InstructionSet.supported) func siluIsWithinTwoUlp(_ set: InstructionSet) {
        let x = everyMagnitude.filter { $0.magnitude < 1e30 && $0 > -80 }
        var y = x
        unsafe ck_silu_f32(set.code, x, &y, x.count)
        #expect(worstUlps(y, x.map { Double($0) / (1 + exp(-Double($0))) }) <= 2)
        var plain = x
        unsafe ck_silu_f32(InstructionSet.plain.code, x, &plain, x.count)
        #expect(sameBits(y, plain))
        var nan: [Float] = [.nan, -200]
        unsafe ck_silu_f32(set.code, nan, &nan, 2)
        #expect(nan[0].isNaN && nan[1].magnitude < 1e-35)
    }

    @Test(arguments: InstructionSet.supported, [1, 7, 16, 33, 128]) func normAndResidual(_ set: InstructionSet, _ channels: Int) {
        var random = SplitMix64(seed: 9)
        let (x, base) = (random.floats(3 * channels), random.floats(3 * channels))
        let (weight, bias) = (random.floats(channels), random.floats(channels))
        for hasBase in [false, true] {
            var (y, plain) = (x, x)
            if hasBase {
                unsafe ck_rmsnorm_add(set.code, x, weight, bias, 1e-5, base, &y, 3, channels)
                unsafe ck_rmsnorm_add(InstructionSet.plain.code, x, weight, bias, 1e-5, base, &plain, 3, channels)
            } else {
                unsafe ck_rmsnorm_add(set.code, x, weight, bias, 1e-5, nil, &y, 3, channels)
                unsafe ck_rmsnorm_add(InstructionSet.plain.code, x, weight, bias, 1e-5, nil, &plain, 3, channels)
            }
            #expect(sameBits(y, plain))
            for row in 0..<3 {
                let squares = (0..<channels).reduce(0.0) { $0 + Double(x[row * channels + $1]) * Double(x[row * channels + $1]) }
                let factor = 1 / (squares / Double(channels) + 1e-5).squareRoot()
                for channel in 0..<channels {
                    let (at, w) = (row * channels + channel, Double(weight[channel]))
                    let exact = Double(x[at]) * factor * w + Double(bias[channel]) + (hasBase ? Double(base[at]) : 0)
                    #expect(abs(Double(y[at]) - exact) <= 4e-7 * (abs(Double(x[at]) * factor * w) + 6))
                }
            }
        }
    }
}
