import CKernels
import TestKit
import Testing

/// A pair of output rows with the four input rows they need, and weights.
private struct Scene {
    let set: InstructionSet, width: Int, channels: Int, outputs: Int
    /// Each with a pixel of zeros at either end; nil outside the image.
    var rows: [[Float]?]
    let weights: [Float], bias: [Float]

    init(_ set: InstructionSet, _ shape: (width: Int, channels: Int, outputs: Int), missing: [Int]) {
        var random = SplitMix64(seed: UInt64(shape.width * 1000 + shape.channels))
        (self.set, width, channels, outputs) = (set, shape.width, shape.channels, shape.outputs)
        let pad = [Float](repeating: 0, count: channels)
        rows = []
        for row in 0..<4 {
            let line = pad + random.floats(shape.width * shape.channels) + pad
            rows.append(missing.contains(row) ? nil : line)
        }
        (weights, bias) = (random.floats(outputs * 9 * channels), random.floats(outputs))
    }

    /// Both output rows, or the first alone.
    func convolve(_ ranges: [Range<Int>], both: Bool = true, hasBias: Bool = true) -> [[Float]] {
        let size = ck_winograd_packed_bytes(set.code, outputs, channels), scratchSize = ck_winograd_scratch_bytes(channels)
        var memory = [UInt64](repeating: 0xA5A5_A5A5_A5A5_A5A5, count: size / 8 + 2)
        unsafe ck_winograd_pack(set.code, weights, outputs, channels, &memory)
        #expect(unsafe memory.withUnsafeBytes { unsafe $0[size..<size + 8].allSatisfy { $0 == 0xA5 } }, "packing wrote past its size")
        var scratch = [UInt64](repeating: 0xA5A5_A5A5_A5A5_A5A5, count: scratchSize / 8 + 2)
        // Each row in memory of exactly its size, so that a tool for memory errors sees a read past its end.
        let lines: [UnsafeMutableBufferPointer<Float>?] = unsafe rows.map { row in
            unsafe row.map { row in
                let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: row.count)
                _ = unsafe copy.initialize(from: row)
                return unsafe copy
            }
        }
        defer { unsafe lines.forEach { unsafe $0?.deallocate() } }
        let pointers: [UnsafeRawPointer?] = unsafe lines.map { unsafe $0.flatMap { UnsafeRawPointer($0.baseAddress) } }
        let line = width * outputs
        var y = [Float](repeating: 777, count: 2 * line + 1)
        unsafe y.withUnsafeMutableBufferPointer { y in
            let targets: [UnsafeMutableRawPointer?] = unsafe [
                UnsafeMutableRawPointer(y.baseAddress!), both ? UnsafeMutableRawPointer(y.baseAddress! + line) : nil,
            ]
            for range in ranges {
                unsafe memory.withUnsafeBytes { packed in
                    unsafe bias.withUnsafeBufferPointer { bias in
                        let weights = unsafe ck_conv_weights(
                            c: channels, n: outputs, packed: packed.baseAddress, sw: nil, bias: hasBias ? bias.baseAddress : nil)
                        unsafe ck_winograd(set.code, weights, pointers, width, range.lowerBound, range.upperBound, targets, &scratch)
                    }
                }
            }
        }
        #expect(unsafe scratch.withUnsafeBytes { unsafe $0[scratchSize..<scratchSize + 8].allSatisfy { $0 == 0xA5 } }, "wrote past its scratch")
        #expect(y.removeLast() == 777)
        if !both { #expect(y[line...].allSatisfy { $0 == 777 }, "wrote a row that is not there") }
        return both ? [Array(y[..<line]), Array(y[line...])] : [Array(y[..<line])]
    }

    /// The sum over taps and channels of an output row in double.
    func exact(_ row: Int, hasBias: Bool = true) -> [Double] {
        (0..<width * outputs).map { index in
            let (column, output) = (index / outputs, index % outputs)
            var sum = hasBias ? Double(bias[output]) : 0
            for tap in 0..<9 {
                guard let line = rows[row + tap / 3] else { continue }
                for channel in 0..<channels {
                    sum += Double(line[(column + tap % 3) * channels + channel]) * Double(weights[(output * 9 + tap) * channels + channel])
                }
            }
            return sum
        }
    }
}

@Suite struct WinogradTests {
    /// Around every edge: tiles of two pixels, tiles of 12 tiles and chunks of 48, panels of outputs, runs of 128 channels.
    static let shapes = [(1, 1, 1), (2, 3, 2), (5, 4, 33), (11, 7, 3), (24, 8, 32), (25, 130, 31), (26, 5, 17), (50, 129, 65), (97, 6, 16), (195, 3, 5)]

    private static func error(_ found: [Float], _ exact: [Double]) -> Double {
        let difference = zip(found, exact).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
        return (difference / exact.reduce(0.0) { $0 + $1 * $1 }).squareRoot()
    }

    /// Twice what the tests ask of the direct convolution, as the header says.
    private static let gate = 5e-7

    @Test(arguments: InstructionSet.supported, shapes) func matchesFloat64(_ set: InstructionSet, _ shape: (Int, Int, Int)) {
        for missing in [[], [0], [3], [0, 3]] {
            let scene = Scene(set, shape, missing: missing)
            for (row, found) in scene.convolve([0..<shape.0]).enumerated() {
                #expect(Self.error(found, scene.exact(row)) <= Self.gate, "row \(row), without \(missing)")
            }
        }
        for missing in [[2, 3], [0, 2, 3]] {
            let scene = Scene(set, shape, missing: missing)
            #expect(Self.error(scene.convolve([0..<shape.0], both: false)[0], scene.exact(0)) <= Self.gate, "without \(missing)")
        }
        let scene = Scene(set, shape, missing: [])
        #expect(Self.error(scene.convolve([0..<shape.0], hasBias: false)[1], scene.exact(1, hasBias: false)) <= Self.gate)
    }

    @Test(arguments: InstructionSet.supported) func rangesOfPixelsJoin(_ set: InstructionSet) {
        let scene = Scene(set, (151, 9, 33), missing: [])
        let (whole, pieces) = (scene.convolve([0..<151]), scene.convolve([101..<151, 0..<1, 1..<2, 2..<101]))
        for row in 0..<2 { #expect(sameBits(whole[row], pieces[row])) }
    }

    /// What lies past the right edge of the image reaches no output inside.
    @Test(arguments: InstructionSet.supported) func notANumberStaysWhereItIs(_ set: InstructionSet) {
        var scene = Scene(set, (9, 4, 5), missing: [])
        scene.rows[0]?[4] = .nan
        let found = scene.convolve([0..<9])
        #expect(found[0][..<10].allSatisfy(\.isNaN) && found[0][20...].allSatisfy { !$0.isNaN })
    }
}
