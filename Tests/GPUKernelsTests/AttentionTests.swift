import CGPUKernels
import CKernels
import Glibc
import TestKit
import Testing

/// Attention and the convolutions around it, against sums in double.
@Suite struct AttentionTests {
    @Test(arguments: [(2, 70, 3, 32, 2, false), (1, 33, 2, 40, 1, true), (1, 200, 2, 128, 3, true), (1, 1, 2, 8, 1, false)])
    func linear(_ maps: Int, _ tokens: Int, _ heads: Int, _ d: Int, _ parts: Int, _ isInterleaved: Bool) throws {
        let (width, rows) = (heads * d, maps * tokens)
        let (stride, keys, values) = isInterleaved ? (3 * d, d, 2 * d) : (d, width, 2 * width)
        var random = SplitMix64(seed: UInt64(tokens))
        let qkv = random.floats(rows * 3 * width)
        var expected = [Float](repeating: 0, count: rows * width)
        for map in 0..<maps {
            unsafe qkv.withUnsafeBufferPointer { qkv in
                unsafe expected.withUnsafeMutableBufferPointer { out in
                    let own = unsafe qkv.baseAddress! + map * tokens * 3 * width
                    let done = unsafe ck_linear_attention(
                        CK_ISA_PLAIN,
                        ck_linear_heads(
                            q: own, k: own + keys, v: own + values, ld: 3 * width, out: out.baseAddress! + map * tokens * width, ldo: width, t: tokens, d: d,
                            head_stride: stride, h0: 0, h1: heads, relu: true, eps: 1e-15))
                    #expect(done)
                }
            }
        }
        let gpu = try GPU()
        let (input, output) = (try gpu.values(qkv), try gpu.room(rows * width) as GPU.Values<Float>)
        let sums: GPU.Values<Float> = try gpu.room(maps * heads * parts * (d + 1) * d * 2)
        let totals: GPU.Values<Float> = try gpu.room(maps * heads * (d + 1) * d)
        let argument = cg_linear_attention(
            q: input.address, k: input.address + UInt64(4 * keys), v: input.address + UInt64(4 * values), sums: sums.address, totals: totals.address,
            out: output.address, ld: Int32(3 * width), ldo: Int32(width), tokens: Int32(tokens), d: Int32(d), stride: Int32(stride), heads: Int32(heads),
            maps: Int32(maps), parts: Int32(parts))
        let squares = pieces(d, of: 32) * pieces(d, of: 32)
        try gpu.run("linear_sum", parts, heads * squares, maps, with: argument)
        try gpu.run("linear_total", pieces(totals.count, of: 256), with: argument)
        try gpu.run("linear_apply", pieces(tokens, of: 64), heads, maps, shared: cg_linear_apply_shared(UInt32(d)), with: argument)
        // Values are at most 3, and an output is a mean of them.
        #expect(worst(try gpu.read(output), expected.map(Double.init), beside: expected.map { _ in 3 }) <= 1e-6)
    }

    struct Case: CustomTestStringConvertible {
        let rows: Int, tokens: Int, heads: Int, d: Int
        var share = 1, causal = false, first = 0, window = 0
        var cap: Float = 0
        var testDescription: String {
            "\(rows) rows, \(tokens) keys, \(heads) heads of \(d)\(causal ? ", causal from \(first), window \(window), cap \(cap)" : "")"
        }

        func sees(_ row: Int, _ key: Int) -> Bool { !causal || (key <= row + first && (window == 0 || key > row + first - window)) }
    }
    static let cases = [
        Case(rows: 70, tokens: 50, heads: 3, d: 64),
        Case(rows: 33, tokens: 100, heads: 2, d: 112),
        Case(rows: 45, tokens: 45, heads: 4, d: 32, share: 2, causal: true, cap: 50),
        Case(rows: 50, tokens: 90, heads: 2, d: 256, share: 2, causal: true, first: 40, window: 35, cap: 30),
        Case(rows: 5, tokens: 7, heads: 2, d: 30, causal: true, first: 2, window: 3),
        Case(rows: 1, tokens: 1, heads: 1, d: 8),
    ]

    @Test(arguments: cases) func softmax(_ test: Case) throws {
        let (width, keyWidth) = (test.heads * test.d, test.heads / test.share * test.d)
        let (ldq, ldk, scale) = (width + 4, 2 * keyWidth, 1 / Float(test.d).squareRoot())
        var random = SplitMix64(seed: UInt64(test.rows))
        let (q, kv) = (random.floats(test.rows * ldq), random.floats(test.tokens * ldk))
        var (exact, bounds) = ([Double](repeating: 0, count: test.rows * width), [Double](repeating: 0, count: test.rows * width))
        for head in 0..<test.heads {
            for row in 0..<test.rows {
                let seen = (0..<test.tokens).filter { test.sees(row, $0) }
                var size = 0.0
                let scores = seen.map { key in
                    var (score, sum) = (0.0, 0.0)
                    for k in 0..<test.d {
                        let product = Double(q[row * ldq + head * test.d + k]) * Double(kv[key * ldk + head / test.share * test.d + k])
                        (score, sum) = (score + product, sum + abs(product))
                    }
                    size = max(size, sum * Double(scale))
                    score *= Double(scale)
                    return test.cap > 0 ? Double(test.cap) * tanh(score / Double(test.cap)) : score
                }
                let weights = scores.map { exp($0 - (scores.max() ?? 0)) }
                let total = weights.reduce(0, +)
                for k in 0..<test.d {
                    let terms = seen.indices.map { weights[$0] / total * Double(kv[seen[$0] * ldk + keyWidth + head / test.share * test.d + k]) }
                    let at = row * width + head * test.d + k
                    exact[at] = terms.reduce(0, +)
                    // The bound of ck_cross_attention, with the running sums' roundings.
                    bounds[at] = (2 * size * Double(test.d + 2) + 2 * Double(test.tokens) + 16) * 0x1p-24 * terms.reduce(0) { $0 + abs($1) }
                }
            }
        }
        let gpu = try GPU()
        let (queries, keys) = (try gpu.values(q), try gpu.values(kv))
        let output: GPU.Values<Float> = try gpu.room(exact.count)
        var argument = cg_attention()
        (argument.q, argument.k, argument.v, argument.out) = (queries.address, keys.address, keys.address + UInt64(4 * keyWidth), output.address)
        (argument.rows, argument.tokens, argument.d, argument.share) = (Int32(test.rows), Int32(test.tokens), Int32(test.d), Int32(test.share))
        (argument.ldq, argument.ldk, argument.ldo) = (Int32(ldq), Int32(ldk), Int32(width))
        (argument.causal, argument.first, argument.window) = (test.causal ? 1 : 0, Int32(test.first), Int32(test.window))
        (argument.scale, argument.cap) = (scale, test.cap)
        let isWide = test.d > 128
        try gpu.run(
            isWide ? "attention_256" : "attention_128", pieces(test.rows, of: isWide ? 32 : 64), test.heads,
            shared: cg_attention_shared(isWide ? 32 : 64, UInt32(test.d)), with: argument)
        #expect(worst(try gpu.read(output), exact, beside: bounds) <= 1)
    }

    @Test(arguments: [3, 5], [false, true]) func depthwise(_ kernel: Int, _ isBiased: Bool) throws {
        let (maps, height, width, channels) = (2, 5, kernel == 3 ? 19 : 6, 18)
        var random = SplitMix64(seed: UInt64(kernel))
        let size = height * width * channels
        let (x, w, bias) = (random.floats(maps * size), random.floats(kernel * kernel * channels), random.floats(channels))
        let offsets = isBiased ? bias : [Float](repeating: 0, count: channels)
        var expected: [Float] = []
        for map in 0..<maps {
            var own = [Float](repeating: 0, count: size)
            unsafe ck_depthwise(CK_ISA_PLAIN, Array(x[map * size..<(map + 1) * size]), w, offsets, &own, height, width, channels, kernel, 0, height)
            expected += own
        }
        let gpu = try GPU()
        let (input, taps, offset, output) = (try gpu.values(x), try gpu.values(w), try gpu.values(bias), try gpu.room(x.count) as GPU.Values<Float>)
        var argument = cg_depthwise(
            x: input.address, w: taps.address, bias: isBiased ? offset.address : 0, y: output.address, count: UInt32(x.count), height: Int32(height),
            width: Int32(width), channels: Int32(channels), kernel: Int32(kernel))
        try gpu.run("depthwise", pieces(x.count, of: 1024), with: argument)
        let magnitude = 9.0 * Double(kernel * kernel)
        #expect(worst(try gpu.read(output), expected.map(Double.init), beside: x.map { _ in magnitude }) <= 1e-7)
        guard kernel == 3 else { return }

        let half = channels / 2
        let gated: GPU.Values<Float> = try gpu.room(x.count / 2)
        (argument.y, argument.count) = (gated.address, UInt32(x.count / 2))
        try gpu.run("gate_depthwise", pieces(half, of: 256), maps * height * pieces(width, of: 8), with: argument)
        let products = (0..<x.count / 2).map { index in
            let at = index / half * channels + index % half
            return Double(expected[at]) * Double(expected[at + half]).silu
        }
        #expect(worst(try gpu.read(gated), products, beside: products.map { abs($0) + magnitude }) <= 1e-6)
    }

    @Test func grouped() throws {
        let (rows, channels, width) = (9, 24, 8)
        var random = SplitMix64(seed: 10)
        let (x, w) = (random.floats(rows * channels), random.floats(channels * width))
        let gpu = try GPU()
        let (input, weights, output) = (try gpu.values(x), try gpu.values(w), try gpu.room(x.count) as GPU.Values<Float>)
        try gpu.run(
            "pointwise", pieces(x.count, of: 256),
            with: cg_pointwise(
                x: input.address, w: weights.address, y: output.address, count: UInt32(x.count), channels: Int32(channels), width: Int32(width)))
        let exact = x.indices.map { index in
            (0..<width).reduce(0.0) {
                $0 + Double(x[index / channels * channels + index % channels / width * width + $1]) * Double(w[index % channels * width + $1])
            }
        }
        #expect(worst(try gpu.read(output), exact, beside: exact.map { _ in 9.0 * Double(width) }) <= 1e-7)
    }
}

extension Double {
    /// x / (1 + e^-x).
    var silu: Double { self / (1 + exp(-self)) }
}
