import Glibc
import Inference
import Operations
import Tensors
import TestKit
import Testing

/// Both kinds of attention against plain loops.
@Suite(.onEveryExecutor) struct AttentionTests {
    struct Case: Sendable {
        let rows, columns, heads, keyValueHeads, dimension: Int
        var softCap: Double?
        var window: Int?
    }

    @Test(arguments: [
        Case(rows: 5, columns: 3, heads: 2, keyValueHeads: 2, dimension: 7),
        Case(rows: 1, columns: 1, heads: 1, keyValueHeads: 1, dimension: 1),
        Case(rows: 33, columns: 33, heads: 4, keyValueHeads: 2, dimension: 8, softCap: 2),
        Case(rows: 40, columns: 40, heads: 6, keyValueHeads: 3, dimension: 5, softCap: 0.5, window: 7),
        Case(rows: 20, columns: 20, heads: 3, keyValueHeads: 1, dimension: 4, window: 1),
        // More rows than are scored at once: the causal limit continues in the second block.
        Case(rows: 2100, columns: 2100, heads: 1, keyValueHeads: 1, dimension: 2, window: 3),
    ]) func softmax(_ c: Case) throws {
        var random = SplitMix64(seed: 10)
        // Keys and values share a matrix, queries have columns of their own before them.
        let queries = try random.tensor([c.rows, 3 + c.heads * c.dimension])
        let keyValues = try random.tensor([c.columns, 2 * c.keyValueHeads * c.dimension])
        let attention = SoftmaxAttention(
            heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.dimension, scale: 1.7, softCap: c.softCap, window: c.window)
        let result = try attention(
            .init(matrix: queries, column: 3), .init(matrix: keyValues, column: 0), .init(matrix: keyValues, column: c.keyValueHeads * c.dimension),
            on: .underTest)
        let (q, kv) = (queries.elements.map(Double.init), keyValues.elements.map(Double.init))
        var expected: [Double] = []
        for row in 0..<c.rows {
            for head in 0..<c.heads {
                let shared = head / (c.heads / c.keyValueHeads) * c.dimension
                let visible = (0..<c.columns).filter { $0 <= row && $0 > row - (c.window ?? .max / 2) }
                let weights = visible.map { column in
                    var logit = 0.0
                    for d in 0..<c.dimension { logit += q[row * queries.columns + 3 + head * c.dimension + d] * kv[column * keyValues.columns + shared + d] }
                    logit *= 1.7
                    return exp(c.softCap.map { $0 * tanh(logit / $0) } ?? logit)
                }
                let total = weights.reduce(0, +)
                for d in 0..<c.dimension {
                    let offset = (c.keyValueHeads * c.dimension) + shared + d
                    expected.append(zip(visible, weights).reduce(0.0) { $0 + $1.1 / total * kv[$1.0 * keyValues.columns + offset] })
                }
            }
        }
        #expect(relativeError(result.elements, expected) < 5e-7)
    }

    @Test(arguments: [false, true], [(1, 1, 3), (9, 2, 32), (50, 3, 16), (7, 2, 5)])
    func linear(interleaved: Bool, _ size: (tokens: Int, heads: Int, dimension: Int)) throws {
        var random = SplitMix64(seed: 11)
        let (tokens, heads, d) = size
        let width = heads * d
        let matrix = try random.tensor([tokens, 3 * width])
        let layout: LinearAttention.Layout = interleaved ? .interleaved(heads: heads, headDimension: d) : .blocks(heads: heads, headDimension: d)
        // The result goes into the right part of a wider matrix; the rest must stay.
        var output = try Tensor([tokens, width + 2], [Float](repeating: 9, count: tokens * (width + 2)))
        CPU.underTest.linearAttention(matrix, layout, into: &output, column: 2)
        let values = matrix.elements.map(Double.init)
        func value(_ part: Int, _ token: Int, _ head: Int, _ index: Int) -> Double {
            let column = interleaved ? head * 3 * d + part * d + index : part * width + head * d + index
            return values[token * 3 * width + column]
        }
        var expected: [Double] = []
        for token in 0..<tokens {
            expected += [9, 9]
            for head in 0..<heads {
                let scores = (0..<tokens).map { other in
                    (0..<d).reduce(0.0) { $0 + max(value(0, token, head, $1), 0) * max(value(1, other, head, $1), 0) }
                }
                let total = scores.reduce(0, +) + 1e-15
                for index in 0..<d { expected.append((0..<tokens).reduce(0.0) { $0 + scores[$1] * value(2, $1, head, index) } / total) }
            }
        }
        #expect(relativeError(output.elements, expected) < 1e-7)
    }

    @Test func aHeadWithoutPositiveQueriesGivesZeroNotNaN() throws {
        let matrix = try Tensor([4, 9], [Float](repeating: -1, count: 36))
        var output = try Tensor([4, 3])
        CPU.underTest.linearAttention(matrix, .blocks(heads: 1, headDimension: 3), into: &output)
        #expect(output.elements.allSatisfy { $0 == 0 })
    }

    @Test func rotaryEmbeddingTurnsPairsHalfAHeadApart() throws {
        var random = SplitMix64(seed: 12)
        var x = try random.tensor([6, 1 + 2 * 8])
        let before = x.elements.map(Double.init)
        Rotary.apply(try Rotary.table(tokens: 6, headDimension: 8, theta: 100), to: &x, column: 1, heads: 2)
        var expected = before
        for row in 0..<6 {
            for head in 0..<2 {
                for index in 0..<4 {
                    let angle = Double(row) * pow(100, -2 * Double(index) / 8)
                    let first = row * 17 + 1 + head * 8 + index
                    expected[first] = before[first] * cos(angle) - before[first + 4] * sin(angle)
                    expected[first + 4] = before[first + 4] * cos(angle) + before[first] * sin(angle)
                }
            }
        }
        #expect(relativeError(x.elements, expected) < 1e-7)
    }
}
