import CGPUKernels
import CKernels
import TestKit
import Testing

/// Products on tensor cores, in every shape: the integer contract bit by bit, with all that may follow.
@Suite struct ProductTests {
    struct Case: CustomTestStringConvertible {
        let rows: Int, depth: Int, columns: [Int], stride: Int
        var silu = false, adds = false, gated = false, biased = true
        var testDescription: String { "\(rows) rows of \(depth) by \(columns)\(silu ? ", SiLU" : "")\(adds ? ", added" : "")\(gated ? " times a gate" : "")" }
    }
    static let cases = [
        Case(rows: 70, depth: 100, columns: [30, 33], stride: 64),
        Case(rows: 131, depth: 72, columns: [260, 7, 129, 2], stride: 400, silu: true),
        Case(rows: 33, depth: 64, columns: [300], stride: 301, adds: true, gated: true),
        Case(rows: 5, depth: 640, columns: [64, 64, 64], stride: 192, adds: true, biased: false),
    ]
    static let shapes = GPU.table.map(\.name).filter { $0.hasPrefix("gemm_") && !$0.hasPrefix("gemm_f32_") }

    @Test(arguments: shapes, cases) func product(_ name: String, _ test: Case) throws {
        let isInteger = name.hasPrefix("gemm_i8_")
        let (rows, depth, width) = (test.rows, test.depth, test.columns.reduce(0, +))
        let own = pitch(isInteger ? depth : 2 * depth)
        var random = SplitMix64(seed: UInt64(rows))
        let (x, w) = (random.codes(rows * depth), random.codes(width * depth))
        let (sx, s, bias, gate) = (random.scales(rows), random.scales(width), random.floats(width), random.floats(width))
        let start = random.floats(rows * test.stride)
        var expected = start
        var y = [Float](repeating: 0, count: rows * width)
        if isInteger {
            unsafe x.withUnsafeBufferPointer { x in
                unsafe w.withUnsafeBufferPointer { w in
                    unsafe sx.withUnsafeBufferPointer { sx in
                        unsafe s.withUnsafeBufferPointer { s in
                            unsafe bias.withUnsafeBufferPointer { bias in
                                unsafe y.withUnsafeMutableBufferPointer { y in
                                    unsafe ck_w8a8_linear(
                                        CK_ISA_PLAIN,
                                        ck_w8a8(
                                            q: x.baseAddress!, sx: sx.baseAddress!, packed: w.baseAddress!, sw: s.baseAddress!,
                                            bias: test.biased ? bias.baseAddress! : nil, y: y.baseAddress!, ldy: width, m: rows, n: width, k: depth))
                                }
                            }
                        }
                    }
                }
            }
        } else {
            // Whole numbers up to 127 are exact in 16-bit floats, and their sums in float32.
            for row in 0..<rows {
                for column in 0..<width {
                    var sum: Int32 = 0
                    for k in 0..<depth { sum += Int32(x[row * depth + k]) * Int32(w[column * depth + k]) }
                    y[row * width + column] = Float(sum) + (test.biased ? bias[column] : 0)
                }
            }
        }
        if test.silu {
            let source = y
            unsafe ck_silu_f32(CK_ISA_PLAIN, source, &y, y.count)
        }
        for row in 0..<rows {
            for column in 0..<width {
                let (value, at) = (y[row * width + column], row * test.stride + column)
                expected[at] = test.adds ? expected[at].addingProduct(test.gated ? gate[column] : 1, value) : value
            }
        }

        let gpu = try GPU()
        func operand(_ codes: [Int8]) throws -> UInt64 {
            guard !isInteger else { return try keep(gpu.values(padded(codes, columns: depth, pitch: own))) }
            let narrow = codes.map { name.hasPrefix("gemm_f16_") ? Float16($0).bitPattern : UInt16(Float($0).bitPattern >> 16) }
            return try keep(gpu.values(padded(narrow, columns: depth, pitch: own / 2)))
        }
        var kept: [Any] = []
        func keep<Element>(_ values: GPU.Values<Element>) -> UInt64 {
            kept.append(values)
            return values.address
        }
        let output = try gpu.values(start)
        var argument = cg_product()
        (argument.x, argument.sx, argument.y) = (try operand(x), keep(try gpu.values(sx)), output.address)
        if test.gated { argument.gate = keep(try gpu.values(gate)) }
        var parts: [cg_part] = []
        var (first, blocks) = (0, 0)
        let shape = try gpu.kernel(name)
        for count in test.columns {
            let range = first..<first + count
            parts.append(
                cg_part(
                    q: try operand(Array(w[first * depth..<(first + count) * depth])), s: keep(try gpu.values(Array(s[range]))),
                    bias: test.biased ? keep(try gpu.values(Array(bias[range]))) : 0, columns: Int32(count), reserved: 0))
            (first, blocks) = (first + count, blocks + pieces(count, of: shape.columns))
        }
        parts += [cg_part](repeating: cg_part(), count: 4 - parts.count)
        argument.part = (parts[0], parts[1], parts[2], parts[3])
        (argument.rows, argument.pitch, argument.ldy) = (Int32(rows), Int32(own), Int32(test.stride))
        (argument.silu, argument.adds) = (test.silu ? 1 : 0, test.adds ? 1 : 0)
        try gpu.run(name, pieces(rows, of: shape.rows), blocks, with: argument)
        #expect(try gpu.read(output) == expected)
        withExtendedLifetime(kept) {}
    }
}
