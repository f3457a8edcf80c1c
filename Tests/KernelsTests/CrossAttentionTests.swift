import CKernels
import Glibc
import TestKit
import Testing

/// Attention to packed keys and values against its definition in double.
@Suite struct CrossAttentionTests {
    struct Case: Sendable {
        let rows, tokens, d, heads: Int
    }

    private static let cases =
        (1...33).map { Case(rows: $0, tokens: 1 + $0 * 7 % 29, d: 1 + $0 * 5 % 37, heads: 1 + $0 % 3) } + [
            Case(rows: 70, tokens: 300, d: 112, heads: 2), Case(rows: 32, tokens: 12, d: 16, heads: 1), Case(rows: 3, tokens: 325, d: 200, heads: 1),
        ]

    @Test(arguments: InstructionSet.supported)
    func isWithinItsBound(_ set: InstructionSet) {
        var random = SplitMix64(seed: 41)
        for c in Self.cases {
            let (width, ld) = (c.heads * c.d, c.heads * c.d + 3)
            let q = random.floats(c.rows * ld), keyValues = random.floats(c.tokens * 2 * width)
            let scale = 1 / Double(c.d).squareRoot()
            let out = run(set, c, q, keyValues, scale: scale, heads: 0..<c.heads)
            var inside = true
            for row in 0..<c.rows {
                for head in 0..<c.heads {
                    let query = (0..<c.d).map { Double(q[row * ld + head * c.d + $0]) }
                    func key(_ token: Int, _ i: Int) -> Double { Double(keyValues[token * 2 * width + head * c.d + i]) }
                    func value(_ token: Int, _ i: Int) -> Double { Double(keyValues[token * 2 * width + width + head * c.d + i]) }
                    let scores = (0..<c.tokens).map { token in scale * (0..<c.d).reduce(0.0) { $0 + query[$1] * key(token, $1) } }
                    let sizes = (0..<c.tokens).map { token in scale * (0..<c.d).reduce(0.0) { $0 + abs(query[$1] * key(token, $1)) } }
                    let top = scores.max()!, total = scores.reduce(0) { $0 + exp($1 - top) }
                    let bound = (2 * sizes.max()! * Double(c.d + 2) + Double(c.tokens) + 16) * 0x1p-24
                    for i in 0..<c.d {
                        var (exact, magnitude) = (0.0, 0.0)
                        for token in 0..<c.tokens {
                            let p = exp(scores[token] - top) / total
                            exact += p * value(token, i)
                            magnitude += p * abs(value(token, i))
                        }
                        if !(abs(Double(out[row * ld + head * c.d + i]) - exact) <= bound * magnitude) { inside = false }
                    }
                }
            }
            #expect(inside, "\(c)")
            #expect((0..<c.rows).allSatisfy { out[$0 * ld + width] == 9 && out[$0 * ld + ld - 1] == 9 }, "wrote between rows, \(c)")
        }
    }

    /// Threads split heads and rows: neither may change a bit of what another range gives, nor touch it.
    @Test(arguments: InstructionSet.supported)
    func rangesOfHeadsGiveTheSameBits(_ set: InstructionSet) {
        var random = SplitMix64(seed: 42)
        let c = Case(rows: 41, tokens: 29, d: 19, heads: 3)
        let q = random.floats(c.rows * (c.heads * c.d + 3)), keyValues = random.floats(c.tokens * 2 * c.heads * c.d)
        let whole = run(set, c, q, keyValues, scale: 0.3, heads: 0..<3)
        let parts = [0..<1, 1..<3].map { run(set, c, q, keyValues, scale: 0.3, heads: $0) }
        let joined = whole.indices.map { parts[0][$0] == 9 ? parts[1][$0] : parts[0][$0] }
        #expect(joined == whole)
        #expect(zip(parts[0], parts[1]).allSatisfy { $0 == 9 || $1 == 9 })
    }

    /// Scores of hundreds must neither overflow nor vanish: the nearest key takes all.
    @Test(arguments: InstructionSet.supported)
    func farApartScores(_ set: InstructionSet) {
        let c = Case(rows: 1, tokens: 3, d: 1, heads: 1)
        let out = run(set, c, [1000, 0, 0, 0], [-1, 5, 1, 7, 0.5, 6], scale: 1, heads: 0..<1)
        #expect(out[0] == 7)
    }

    /// The outputs, rows 3 further apart than they are wide, with 9 where nothing is written.
    private func run(_ set: InstructionSet, _ c: Case, _ q: [Float], _ keyValues: [Float], scale: Double, heads: Range<Int>) -> [Float] {
        let (width, ld) = (c.heads * c.d, c.heads * c.d + 3)
        var packed = [Float](repeating: .nan, count: ck_cross_attention_bytes(c.tokens, c.d, c.heads) / 4)
        var scratch = [Float](repeating: .nan, count: ck_cross_attention_scratch(c.tokens, c.d) / 4)
        var out = [Float](repeating: 9, count: c.rows * ld)
        unsafe keyValues.withUnsafeBufferPointer { source in
            let keys = source.baseAddress!
            unsafe ck_pack_cross_attention(keys, 2 * width, keys + width, 2 * width, &packed, c.tokens, c.d, c.heads)
        }
        unsafe q.withUnsafeBufferPointer { q in
            unsafe packed.withUnsafeBytes { packed in
                unsafe out.withUnsafeMutableBufferPointer { out in
                    let queries = unsafe ck_cross_heads(
                        q: q.baseAddress, ldq: ld, packed: packed.baseAddress, out: out.baseAddress, ldo: ld, m: c.rows, tokens: c.tokens, d: c.d,
                        h0: heads.lowerBound, h1: heads.upperBound, scale: scale)
                    unsafe ck_cross_attention(set.code, queries, &scratch)
                }
            }
        }
        return out
    }
}
