import CGPUKernels
import CKernels
import TestKit
import Testing

/// 3x3 convolutions in int8, in every shape, by the formulas of Formats/schemes.md, and with all that may follow.
@Suite struct IntegerConvolutionTests {
    struct Case: CustomTestStringConvertible {
        let height: Int, width: Int, channels: Int, outputs: Int
        var sampling = cg_same, activation = cg_none
        var normed = false, residual = false, shortcut = false
        var writes = true, quantizes = true
        var testDescription: String { "\(height) x \(width) x \(channels) to \(outputs), sampling \(sampling)\(normed ? ", normed" : "")" }
    }
    static let cases = [
        Case(height: 5, width: 7, channels: 40, outputs: 24, activation: cg_silu),
        Case(height: 9, width: 17, channels: 64, outputs: 64, normed: true, residual: true),
        Case(height: 9, width: 8, channels: 130, outputs: 50, sampling: cg_stride2, activation: cg_relu, quantizes: false),
        Case(height: 3, width: 5, channels: 300, outputs: 33, sampling: cg_doubled, shortcut: true),
        Case(height: 4, width: 6, channels: 64, outputs: 300, activation: cg_silu, quantizes: false),
        Case(height: 7, width: 9, channels: 128, outputs: 128, normed: true, residual: true, writes: false),
        Case(height: 1, width: 1, channels: 64, outputs: 256, activation: cg_silu, normed: true, residual: true),
    ]
    static let shapes = GPU.table.map(\.name).filter { $0.hasPrefix("conv_i8_") }

    @Test(arguments: shapes, cases) func convolution(_ name: String, _ test: Case) throws {
        let gpu = try GPU()
        let shape = try gpu.kernel(name)
        guard test.outputs <= shape.columns || !(test.normed || test.quantizes) else { return }
        let (pixels, outputs) = (test.height * test.width, test.outputs)
        let (own, ownOutputs) = (pitch(test.channels), pitch(outputs))
        var random = SplitMix64(seed: UInt64(test.channels + outputs))
        let x = QuantizeTests.quantized(random.floats(pixels * test.channels), test.channels)
        let (w, s, bias) = (random.codes(outputs * 9 * test.channels), random.scales(outputs), random.floats(outputs))
        let (weight, offset) = (random.floats(outputs), random.floats(outputs))
        let inputs = test.shortcut ? 2 * outputs : 0
        let count = extent(test.height, test.sampling) * extent(test.width, test.sampling)
        let base = random.floats(test.shortcut ? pixels * inputs : count * outputs)
        var expected = Self.sums(test, x.codes, x.scales, w).enumerated().map { bias[$0 % outputs].addingProduct($1, s[$0 % outputs]) }
        let source = expected
        if test.activation == cg_silu { unsafe ck_silu_f32(CK_ISA_PLAIN, source, &expected, source.count) }
        if test.activation == cg_relu { unsafe ck_relu(CK_ISA_PLAIN, source, &expected, source.count) }
        if test.normed {
            let before = expected
            unsafe ck_rmsnorm_add(CK_ISA_PLAIN, before, weight, offset, 1e-5, nil, &expected, count, outputs)
        }
        if test.residual { for index in expected.indices { expected[index] += base[index] } }
        if test.shortcut {
            let columns = 2 * test.width
            for row in 0..<2 * test.height {
                var line = Array(expected[row * columns * outputs..<(row + 1) * columns * outputs])
                let above = Array(base[row / 2 * test.width * inputs..<(row / 2 + 1) * test.width * inputs])
                unsafe ck_add_doubled(CK_ISA_PLAIN, above, inputs, row % 2, &line, outputs, 0, columns)
                expected.replaceSubrange(row * columns * outputs..<(row + 1) * columns * outputs, with: line)
            }
        }

        let (input, scales) = (try gpu.values(padded(x.codes, columns: test.channels, pitch: own)), try gpu.values(x.scales))
        let (weights, steps, shift) = (try gpu.values(padded(w, columns: test.channels, pitch: own)), try gpu.values(s), try gpu.values(bias))
        let (factor, normShift, added) = (try gpu.values(weight), try gpu.values(offset), try gpu.values(base))
        let output: GPU.Values<Float> = try gpu.room(expected.count)
        let (codes, codeScales) = (try gpu.room(count * ownOutputs) as GPU.Values<Int8>, try gpu.room(count) as GPU.Values<Float>)
        var argument = cg_integer_convolution()
        (argument.x, argument.sx, argument.w, argument.s, argument.bias) = (input.address, scales.address, weights.address, steps.address, shift.address)
        if test.normed { (argument.norm, argument.normBias) = (factor.address, normShift.address) }
        if test.residual || test.shortcut { argument.base = added.address }
        if test.writes { argument.y = output.address }
        if test.quantizes { (argument.q, argument.sq) = (codes.address, codeScales.address) }
        (argument.epsilon, argument.epsilonRest) = split(1e-5)
        (argument.height, argument.width, argument.channels) = (Int32(test.height), Int32(test.width), Int32(test.channels))
        (argument.pitch, argument.outputs, argument.inputs, argument.pitchQ) = (Int32(own), Int32(outputs), Int32(inputs), Int32(ownOutputs))
        (argument.sampling, argument.activation) = (Int32(test.sampling), Int32(test.activation))
        (argument.to, argument.maskX, argument.maskY, argument.maskBase) = (Int32(count), -1, -1, -1)
        try gpu.run(name, pieces(count, of: shape.rows), pieces(outputs, of: shape.columns), with: argument)
        if test.writes { #expect(try gpu.read(output) == expected) }
        if test.quantizes {
            let quantized = QuantizeTests.quantized(expected, outputs)
            #expect(try gpu.read(codes) == padded(quantized.codes, columns: outputs, pitch: ownOutputs))
            #expect(try gpu.read(codeScales) == quantized.scales)
        }
    }

    /// Of a doubled map with a quarter of the products: the same bits; and of some rows of it alone.
    @Test(arguments: [(3, 5, 300, 33, 2), (13, 30, 40, 70, 0), (1, 1, 64, 16, 4)])
    func doubled(_ height: Int, _ width: Int, _ channels: Int, _ outputs: Int, _ repeats: Int) throws {
        let (own, inputs, pixels) = (pitch(channels), repeats * outputs, height * width)
        var random = SplitMix64(seed: UInt64(channels))
        let x = QuantizeTests.quantized(random.floats(pixels * channels), channels)
        let (w, s, bias) = (random.codes(outputs * 9 * channels), random.scales(outputs), random.floats(outputs))
        let base = random.floats(pixels * inputs)
        let scene = Case(height: height, width: width, channels: channels, outputs: outputs, sampling: cg_doubled)
        let expected = Self.sums(scene, x.codes, x.scales, w).enumerated().map { index, sum in
            let (channel, pixel) = (index % outputs, index / outputs)
            let value = bias[channel].addingProduct(sum, s[channel])
            guard repeats > 0 else { return value }
            let (row, column) = (pixel / (2 * width), pixel % (2 * width))
            return value + base[(row / 2 * width + column / 2) * inputs + (4 * channel + row % 2 * 2 + column % 2) * repeats / 4]
        }
        let gpu = try GPU()
        let (codes, scales) = (try gpu.values(padded(x.codes, columns: channels, pitch: own)), try gpu.values(x.scales))
        let (weights, steps, shift) = (try gpu.values(padded(w, columns: channels, pitch: own)), try gpu.values(s), try gpu.values(bias))
        let (added, output) = (try gpu.values(base), try gpu.values([Float](repeating: -1, count: expected.count)))
        var argument = cg_integer_convolution()
        (argument.x, argument.sx, argument.w, argument.s, argument.bias) = (codes.address, scales.address, weights.address, steps.address, shift.address)
        if repeats > 0 { argument.base = added.address }
        (argument.y, argument.height, argument.width, argument.channels) = (output.address, Int32(height), Int32(width), Int32(channels))
        (argument.pitch, argument.outputs, argument.inputs, argument.sampling) = (Int32(own), Int32(outputs), Int32(inputs), Int32(cg_doubled))
        (argument.maskX, argument.maskY, argument.maskBase) = (-1, -1, -1)
        func make(_ rows: Range<Int>) throws {
            (argument.from, argument.to) = (Int32(4 * rows.lowerBound * width), Int32(4 * rows.upperBound * width))
            try gpu.run("conv_up_i8", pieces(rows.count, of: 6) * pieces(width, of: 14), pieces(outputs, of: 64), with: argument)
        }
        let half = height / 2
        if half > 0 {
            try make(0..<half)
            let made = 4 * half * width * outputs
            #expect(try gpu.read(output) == expected[..<made] + [Float](repeating: -1, count: expected.count - made))
        }
        try make(half..<height)
        #expect(try gpu.read(output) == expected)
    }

    /// The largest sums there are, at 260 channels, where they are read as floats, and beyond, where they are converted.
    @Test(arguments: shapes + ["conv_up_i8"], [260, 261, 1040]) func extremes(_ name: String, _ channels: Int) throws {
        let (side, outputs, own) = (3, 4, pitch(channels))
        let isUp = name == "conv_up_i8"
        let scene = Case(height: side, width: side, channels: channels, outputs: outputs, sampling: isUp ? cg_doubled : cg_same)
        let w = (0..<outputs * 9 * channels).map { Int8($0 / (9 * channels) % 2 == 0 ? 127 : -127) }
        let (codes, scales) = ([Int8](repeating: 127, count: side * side * channels), [Float](repeating: 1.25, count: side * side))
        let expected = Self.sums(scene, codes, scales, w).map { $0 * 0.5 }
        let gpu = try GPU()
        let (input, steps) = (try gpu.values(padded(codes, columns: channels, pitch: own)), try gpu.values(scales))
        let (weights, factors) = (try gpu.values(padded(w, columns: channels, pitch: own)), try gpu.values([Float](repeating: 0.5, count: outputs)))
        let output: GPU.Values<Float> = try gpu.room(expected.count)
        var argument = cg_integer_convolution()
        (argument.x, argument.sx, argument.w, argument.s, argument.y) = (input.address, steps.address, weights.address, factors.address, output.address)
        (argument.height, argument.width, argument.channels, argument.pitch) = (Int32(side), Int32(side), Int32(channels), Int32(own))
        (argument.outputs, argument.sampling, argument.to) = (Int32(outputs), Int32(scene.sampling), Int32(expected.count / outputs))
        (argument.maskX, argument.maskY, argument.maskBase) = (-1, -1, -1)
        try gpu.run(name, 1, with: argument)
        #expect(try gpu.read(output) == expected)
    }

    /// In bands of pixels that end anywhere, between rings of four and eight rows, what is made of a whole map.
    @Test(arguments: shapes) func bands(_ name: String) throws {
        let (height, width, channels, outputs, own) = (13, 5, 32, 24, 64)
        var random = SplitMix64(seed: 11)
        let gpu = try GPU()
        let shape = try gpu.kernel(name)
        let x = QuantizeTests.quantized(random.floats(height * width * channels), channels)
        let codes = padded(x.codes, columns: channels, pitch: own)
        let (weights, steps) = (
            try gpu.values(padded(random.codes(outputs * 9 * channels), columns: channels, pitch: own)), try gpu.values(random.scales(outputs))
        )
        var argument = cg_integer_convolution()
        (argument.w, argument.s) = (weights.address, steps.address)
        (argument.height, argument.width, argument.channels) = (Int32(height), Int32(width), Int32(channels))
        (argument.pitch, argument.outputs, argument.pitchQ) = (Int32(own), Int32(outputs), Int32(own))
        (argument.maskX, argument.maskY, argument.maskBase) = (-1, -1, -1)
        let (map, scales) = (try gpu.values(codes), try gpu.values(x.scales))
        let whole: GPU.Values<Float> = try gpu.room(height * width * outputs)
        (argument.x, argument.sx, argument.y, argument.to) = (map.address, scales.address, whole.address, Int32(height * width))
        try gpu.run(name, pieces(height * width, of: shape.rows), pieces(outputs, of: shape.columns), with: argument)
        let expected = try gpu.read(whole)

        // Rows 0 ... 7 of the input are in a ring of eight; output pixels up to the row before the last of them go into a ring of four rows.
        let ring = (try gpu.values(Array(codes[0..<8 * width * own])), try gpu.values(Array(x.scales[0..<8 * width])))
        let target: GPU.Values<Float> = try gpu.room(4 * width * outputs)
        (argument.x, argument.sx, argument.y, argument.maskX, argument.maskY) = (ring.0.address, ring.1.address, target.address, 7, 3)
        for (from, to) in [(0, 9), (9, 20), (20, 35)] {
            (argument.from, argument.to) = (Int32(from), Int32(to))
            try gpu.run(name, pieces(to - from, of: shape.rows), pieces(outputs, of: shape.columns), with: argument)
        }
        let made = try gpu.read(target)
        // What is left: rows 4, 5, 6 and before them row 3.
        for row in 3..<7 {
            let (line, own) = (row * width * outputs, row % 4 * width * outputs)
            #expect(Array(made[own..<own + width * outputs]) == Array(expected[line..<line + width * outputs]))
        }
    }

    /// f of the contract: a fused multiply-add for each tap inside the map.
    private static func sums(_ test: Case, _ codes: [Int8], _ scales: [Float], _ w: [Int8]) -> [Float] {
        let (channels, count) = (test.channels, extent(test.height, test.sampling) * extent(test.width, test.sampling))
        return unsafe codes.withUnsafeBufferPointer { codes in
            unsafe w.withUnsafeBufferPointer { w in
                var result: [Float] = []
                for pixel in 0..<count {
                    let under = taps(of: pixel, test.height, test.width, test.sampling)
                    for output in 0..<test.outputs {
                        var f: Float = 0
                        for (tap, source) in under {
                            var sum: Int32 = 0
                            for channel in 0..<channels {
                                sum += unsafe Int32(codes[source * channels + channel]) * Int32(w[(output * 9 + tap) * channels + channel])
                            }
                            f = f.addingProduct(scales[source], Float(sum))
                        }
                        result.append(f)
                    }
                }
                return result
            }
        }
    }
}
