import CUDAInference
import Operations
import Tensors
import Testing

/// All kinds of attention against the CPU's.
@Suite struct AttentionTests {
    private static func norms(_ bench: inout Bench, _ channels: Int) throws -> (host: RMSNorm, device: DeviceNorm) {
        let weight = try bench.values([channels])
        return (
            CPU.best.norm(weight: weight, bias: nil, offset: 0, epsilon: 1e-5), try bench.engine.norm(weight: weight, bias: nil, offset: 0, epsilon: 1e-5)
        )
    }

    /// Maps of 300 tokens are two at a time as many parts as all of them.
    @Test(arguments: [false, true], [(1, 1, 1, 3), (1, 600, 2, 32), (3, 300, 2, 16), (7, 5, 3, 40)])
    func linear(_ isInterleaved: Bool, _ size: (maps: Int, tokens: Int, heads: Int, dimension: Int)) throws {
        var bench = try Bench(seed: 11)
        let width = size.heads * size.dimension
        let x = try bench.values([size.maps * size.tokens, 3 * width])
        let layout: LinearAttention.Layout =
            isInterleaved ? .interleaved(heads: size.heads, headDimension: size.dimension) : .blocks(heads: size.heads, headDimension: size.dimension)
        for isNormed in isInterleaved ? [false] : [false, true] {
            let (query, key) = (try Self.norms(&bench, width), try Self.norms(&bench, width))
            var (here, there) = (try x.copy(), try bench.rows(x))
            let expected = try CPU.best.linearAttention(
                &here, layout, queryNorm: isNormed ? query.host : nil, keyNorm: isNormed ? key.host : nil, scales: [], maps: size.maps)
            let found = try bench.engine.tensor(
                from: bench.engine.linearAttention(
                    &there, layout, queryNorm: isNormed ? query.device : nil, keyNorm: isNormed ? key.device : nil, scales: [], maps: size.maps))
            #expect(found.shape == expected.shape && distance(found.elements, expected.elements) <= 1e-6)
        }
    }

    /// A map, and beside it the same through two scales.
    @Test func scales() throws {
        var bench = try Bench(seed: 12)
        let (heads, dimension) = (3, 8)
        let channels = 3 * heads * dimension
        let x = try bench.values([5, 7, channels])
        let weights = try [3, 5].map {
            (StoredWeight.plain(.init(try bench.values([channels, $0, $0], range: 0.5))), StoredWeight.plain(.init(try bench.values([channels, dimension]))))
        }
        let layout = LinearAttention.Layout.interleaved(heads: heads, headDimension: dimension)
        var (here, there) = (try x.copy(), try bench.rows(x))
        let expected = try CPU.best.linearAttention(
            &here, layout, queryNorm: nil, keyNorm: nil, scales: weights.map { (try CPU.best.depthwise($0, bias: nil), try CPU.best.pointwise($1)) }, maps: 1)
        let found = try bench.engine.tensor(
            from: bench.engine.linearAttention(
                &there, layout, queryNorm: nil, keyNorm: nil,
                scales: weights.map { (try bench.engine.depthwise($0, bias: nil), try bench.engine.pointwise($1)) },
                maps: 1))
        #expect(found.shape == [5, 7, 3 * heads * dimension] && found.shape == expected.shape)
        #expect(distance(found.elements, expected.elements) <= 2e-6)
    }

    @Test("Queries of several prompts, normed or not", arguments: [(1, [1], 1, 8), (70, [50], 3, 64), (9, [3, 40, 7], 2, 5), (33, [20, 31], 2, 200)])
    func cross(_ size: (rows: Int, tokens: [Int], heads: Int, dimension: Int)) throws {
        var bench = try Bench(seed: 13)
        let width = size.heads * size.dimension
        let queries = try bench.values([size.rows * size.tokens.count, width], range: 1)
        let prompts = try size.tokens.map { try bench.values([$0, 2 * width], range: 1) }
        for isNormed in [false, true] {
            let (query, key) = (try Self.norms(&bench, width), try Self.norms(&bench, width))
            var (here, there) = (try queries.copy(), try bench.rows(queries))
            let before = there
            let expected = try CPU.best.crossAttention(
                &here, queryNorm: isNormed ? query.host : nil,
                to: prompts.map { prompt in
                    var rows = try prompt.copy()
                    return try CPU.best.keyValues(&rows, keyNorm: isNormed ? key.host : nil, heads: size.heads, headDimension: size.dimension)
                })
            let found = try bench.engine.tensor(
                from: bench.engine.crossAttention(
                    &there, queryNorm: isNormed ? query.device : nil,
                    to: prompts.map { prompt in
                        var rows = try bench.rows(prompt)
                        return try bench.engine.keyValues(&rows, keyNorm: isNormed ? key.device : nil, heads: size.heads, headDimension: size.dimension)
                    }))
            #expect(found.shape == expected.shape && distance(found.elements, expected.elements) <= 5e-6)
            #expect(try bench.elements(before) == queries.elements)
        }
    }

    struct Causal: Sendable {
        let rows, prefix, heads, keyValueHeads, dimension: Int
        var softCap: Double?
        var window: Int?
    }

    @Test(arguments: [
        Causal(rows: 1, prefix: 0, heads: 1, keyValueHeads: 1, dimension: 2),
        Causal(rows: 45, prefix: 0, heads: 4, keyValueHeads: 2, dimension: 32, softCap: 2),
        Causal(rows: 20, prefix: 33, heads: 6, keyValueHeads: 3, dimension: 6, softCap: 0.5, window: 7),
        Causal(rows: 40, prefix: 50, heads: 2, keyValueHeads: 1, dimension: 256, window: 35),
    ]) func causal(_ c: Causal) throws {
        var bench = try Bench(seed: 14)
        let (queries, keys) = (c.heads * c.dimension, c.keyValueHeads * c.dimension)
        let attention = SoftmaxAttention(
            heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.dimension, scale: 0.7, softCap: c.softCap, window: c.window)
        let x = try bench.values([c.rows, queries + 2 * keys], range: 1)
        let prefix = c.prefix > 0 ? try bench.values([c.prefix, 2 * keys], range: 1) : nil
        let rotary = try Rotary.table(first: c.prefix, tokens: c.rows, headDimension: c.dimension, theta: 100)
        var (here, there) = (try x.copy(), try bench.rows(x))
        let expected = try CPU.best.causalAttention(&here, after: prefix, attention, rotary: rotary)
        let found = try bench.engine.causalAttention(&there, after: try prefix.map(bench.rows), attention, rotary: bench.rows(rotary))
        #expect(found.keyValues.shape == [c.prefix + c.rows, 2 * keys])
        #expect(try bench.elements(found.keyValues) == expected.keyValues.elements)
        #expect(found.attended.shape == expected.attended.shape)
        #expect(distance(try bench.elements(found.attended), expected.attended.elements) <= 5e-6)
    }

    @Test("Heads that no kernel takes are refused in one sentence") func wideHeads() throws {
        var bench = try Bench(seed: 15)
        var (rows, queries) = (try bench.rows(bench.values([2, 2 * 300])), try bench.rows(bench.values([1, 300])))
        let prompt = try bench.engine.keyValues(&rows, keyNorm: nil, heads: 1, headDimension: 300)
        #expect(throws: MachineError.device("the GPU's kernels attend with heads of at most 256 values, found 300; compute on the CPU")) {
            _ = try bench.engine.crossAttention(&queries, queryNorm: nil, to: [prompt])
        }
    }
}
