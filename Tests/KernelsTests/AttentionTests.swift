import CKernels
import Glibc
import TestKit
import Testing

private struct SoftmaxCase {
    var scale = 1.0, softcap = 0.0, first = 1000, window = 0

    func sees(row: Int, column: Int) -> Bool {
        column <= first + row && (window == 0 || column > first + row - window)
    }

    /// Rows of n columns inside rows of n + 2.
    func exact(_ x: [Float], rows: Int, columns: Int) -> [Double] {
        (0..<rows).flatMap { row -> [Double] in
            let scores = (0..<columns).map { column -> Double in
                let v = scale * Double(x[row * (columns + 2) + column])
                return softcap > 0 ? softcap * tanh(v / softcap) : v
            }
            let seen = (0..<columns).filter { sees(row: row, column: $0) }
            guard let top = seen.map({ scores[$0] }).max() else { return [Double](repeating: 0, count: columns) }
            let sum = seen.reduce(0) { $0 + exp(scores[$1] - top) }
            return (0..<columns).map { sees(row: row, column: $0) ? exp(scores[$0] - top) / sum : 0 }
        }
    }

    func run(_ set: InstructionSet, _ x: [Float], rows: Int, columns: Int) -> [Float] {
        var y = x
        unsafe ck_softmax_rows(set.code, &y, columns + 2, rows, columns, scale, softcap, first, window)
        for row in 0..<rows {
            let rest = row * (columns + 2) + columns
            #expect(y[rest] == x[rest] && y[rest + 1] == x[rest + 1], "wrote between rows")
        }
        return (0..<rows).flatMap { y[$0 * (columns + 2)..<$0 * (columns + 2) + columns] }
    }
}

@Suite struct SoftmaxTests {
    private let cases = [
        SoftmaxCase(), SoftmaxCase(scale: 0.125), SoftmaxCase(scale: 0.0625, softcap: 50), SoftmaxCase(scale: 2, softcap: 3),
        SoftmaxCase(first: 0), SoftmaxCase(scale: 0.5, softcap: 50, first: 3), SoftmaxCase(first: 2, window: 1),
        SoftmaxCase(first: 0, window: 4), SoftmaxCase(first: 100, window: 7),
    ]

    @Test(arguments: InstructionSet.supported)
    func matchesTheExactValues(_ set: InstructionSet) {
        var random = SplitMix64(seed: 19)
        for columns in Array(1...67) + [301] {
            let rows = 6, x = random.floats(rows * (columns + 2), range: 30)
            for test in cases {
                let y = test.run(set, x, rows: rows, columns: columns)
                #expect(worstUlps(y, test.exact(x, rows: rows, columns: columns)) <= 1.6, "\(test), \(columns) columns")
                #expect(sameBits(y, test.run(.plain, x, rows: rows, columns: columns)))
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func farApartScoresNeitherOverflowNorVanish(_ set: InstructionSet) {
        let x: [Float] = [1e30, -1e30, 1e30, 0, 0]
        #expect(SoftmaxCase().run(set, x, rows: 1, columns: 3) == [0.5, 0, 0.5])
    }

    @Test(arguments: InstructionSet.supported)
    func aRowThatSeesNothingIsZero(_ set: InstructionSet) {
        let y = SoftmaxCase(first: 9, window: 3).run(set, [Float](repeating: 1, count: 6), rows: 1, columns: 4)
        #expect(y == [0, 0, 0, 0])
    }
}

/// Queries, keys and values in one matrix of tokens, heads `headStride` apart, and the attention straight from its definition.
private struct LinearAttention {
    let tokens: Int, heads: Int, d: Int, headStride: Int
    let relu: Bool
    var qkv: [Float]
    var width: Int { 3 * heads * headStride }

    init(tokens: Int, heads: Int, d: Int, headStride: Int, relu: Bool = true, seed: UInt64) {
        (self.tokens, self.heads, self.d, self.headStride, self.relu) = (tokens, heads, d, headStride, relu)
        var random = SplitMix64(seed: seed)
        qkv = random.floats(tokens * 3 * heads * headStride)
        if !relu { qkv = qkv.map(\.magnitude) }
    }

    func run(_ set: InstructionSet, heads range: Range<Int>, into out: inout [Float]) -> Bool {
        let part = heads * headStride
        return unsafe qkv.withUnsafeBufferPointer { base in
            unsafe out.withUnsafeMutableBufferPointer { out in
                let q = base.baseAddress!
                return unsafe ck_linear_attention(
                    set.code,
                    ck_linear_heads(
                        q: q, k: q + part, v: q + 2 * part, ld: width, out: out.baseAddress!, ldo: heads * d + 1, t: tokens, d: d, head_stride: headStride,
                        h0: range.lowerBound, h1: range.upperBound, relu: relu, eps: 1e-15))
            }
        }
    }

    /// What the terms of an output would sum to if none cancelled.
    func magnitude(token: Int, head: Int) -> [Double] {
        let similarity = (0..<tokens).map { t in (0..<d).reduce(0.0) { $0 + abs(at(token, 0, head, $1) * at(t, 1, head, $1)) } }
        let signed = (0..<tokens).map { t in (0..<d).reduce(0.0) { $0 + at(token, 0, head, $1) * at(t, 1, head, $1) } }
        return (0..<d).map { i in (0..<tokens).reduce(0.0) { $0 + similarity[$1] * abs(at($1, 2, head, i)) } / (abs(signed.reduce(0, +)) + 1e-15) }
    }

    private func at(_ token: Int, _ part: Int, _ head: Int, _ i: Int) -> Double {
        let v = Double(qkv[token * width + (part * heads + head) * headStride + i])
        return relu && part < 2 ? max(v, 0) : v
    }

    /// One output row of one head: similarities with every token first, so nothing is shared with the kernel's order.
    func exact(token: Int, head: Int) -> [Double] {
        let similarity = (0..<tokens).map { t in (0..<d).reduce(0.0) { $0 + at(token, 0, head, $1) * at(t, 1, head, $1) } }
        let sum = similarity.reduce(0, +) + 1e-15
        return (0..<d).map { i in (0..<tokens).reduce(0.0) { $0 + similarity[$1] * at($1, 2, head, i) } / sum }
    }
}

@Suite struct LinearAttentionTests {
    /// Those that sum in double.
    @Test(
        arguments: InstructionSet.supported.filter { $0 != .avx512 },
        [(1, 1, 1, 1), (2, 3, 3, 3), (3, 2, 8, 24), (5, 1, 32, 32), (34, 2, 33, 40), (19, 1, 128, 128), (67, 2, 32, 96)])
    func matchesItsDefinition(_ set: InstructionSet, _ shape: (tokens: Int, heads: Int, d: Int, stride: Int)) {
        for relu in [true, false] {
            let test = LinearAttention(tokens: shape.tokens, heads: shape.heads, d: shape.d, headStride: shape.stride, relu: relu, seed: 20)
            let stride = shape.heads * shape.d + 1
            var out = [Float](repeating: 777, count: shape.tokens * stride), plain = out
            #expect(test.run(set, heads: 0..<shape.heads, into: &out) && test.run(.plain, heads: 0..<shape.heads, into: &plain))
            #expect(sameBits(out, plain))
            for token in 0..<shape.tokens {
                #expect(out[token * stride + stride - 1] == 777, "wrote between rows")
                for head in 0..<shape.heads {
                    for (i, exact) in test.exact(token: token, head: head).enumerated() {
                        let value = out[token * stride + head * shape.d + i]
                        #expect(abs(Double(value) - exact) <= 0.5 * Double(Float(exact).ulp) + 1e-13)
                    }
                }
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func manyTokensLoseNothing(_ set: InstructionSet) {
        let test = LinearAttention(tokens: 65536, heads: 1, d: 2, headStride: 2, seed: 21)
        var out = [Float](repeating: 0, count: 65536 * 3)
        #expect(test.run(set, heads: 0..<1, into: &out))
        for token in [0, 65535] {
            let magnitude = test.magnitude(token: token, head: 0)
            for (i, exact) in test.exact(token: token, head: 0).enumerated() {
                let bound = set == .avx512 ? 42 * 0x1p-24 * magnitude[i] : 0.5 * Double(Float(exact).ulp)
                #expect(abs(Double(out[token * 3 + i]) - exact) <= bound + 1e-12)
            }
        }
    }

    @Test(
        arguments: InstructionSet.supported,
        [(1, 1, 1, 1), (2, 3, 3, 3), (3, 2, 8, 24), (33, 1, 32, 32), (34, 2, 33, 40), (70, 1, 128, 128), (67, 2, 17, 96), (4096, 1, 2, 2)])
    func isWithinItsBound(_ set: InstructionSet, _ shape: (tokens: Int, heads: Int, d: Int, stride: Int)) {
        for relu in [true, false] {
            let test = LinearAttention(tokens: shape.tokens, heads: shape.heads, d: shape.d, headStride: shape.stride, relu: relu, seed: 25)
            let stride = shape.heads * shape.d + 1
            var out = [Float](repeating: 777, count: shape.tokens * stride)
            #expect(test.run(set, heads: 0..<shape.heads, into: &out))
            for token in Swift.stride(from: 0, to: shape.tokens, by: max(1, shape.tokens / 40)) {
                #expect(out[token * stride + stride - 1] == 777, "wrote between rows")
                for head in 0..<shape.heads {
                    let (exact, magnitude) = (test.exact(token: token, head: head), test.magnitude(token: token, head: head))
                    for i in 0..<shape.d {
                        let value = Double(out[token * stride + head * shape.d + i])
                        #expect(abs(value - exact[i]) <= Double(shape.d + 40) * 0x1p-24 * magnitude[i] + 1e-13)
                    }
                }
            }
        }
    }

    @Test(arguments: InstructionSet.supported)
    func rangesOfHeadsLeaveTheOthersAlone(_ set: InstructionSet) {
        let test = LinearAttention(tokens: 6, heads: 4, d: 5, headStride: 5, seed: 22)
        var whole = [Float](repeating: 777, count: 6 * 21), parts = whole
        #expect(test.run(set, heads: 0..<4, into: &whole))
        #expect(test.run(set, heads: 3..<4, into: &parts))
        #expect(parts[0..<15].allSatisfy { $0 == 777 })
        #expect(test.run(set, heads: 0..<3, into: &parts))
        #expect(sameBits(whole, parts))
    }

    /// A head whose keys are all cut off by the relu has nothing to say, and must not say NaN.
    @Test(arguments: InstructionSet.supported)
    func nothingSeenIsZero(_ set: InstructionSet) {
        var test = LinearAttention(tokens: 3, heads: 1, d: 4, headStride: 4, seed: 23)
        test.qkv = test.qkv.map { -$0.magnitude }
        var out = [Float](repeating: 777, count: 3 * 5)
        #expect(test.run(set, heads: 0..<1, into: &out))
        #expect(out[0..<4].allSatisfy { $0 == 0 })
    }

    @Test(arguments: InstructionSet.supported)
    func refusesHeadsItHasNoRoomFor(_ set: InstructionSet) {
        let d = Int(CK_LINEAR_ATTENTION_MAX_D) + 1
        let test = LinearAttention(tokens: 1, heads: 1, d: d, headStride: d, seed: 24)
        var out = [Float](repeating: 777, count: d + 1)
        #expect(!test.run(set, heads: 0..<1, into: &out))
        #expect(out.allSatisfy { $0 == 777 })
    }
}
