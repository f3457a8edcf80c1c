import CUDAInference
import Operations
import Tensors
import Testing

/// Norms, sums and nonlinearities against the CPU's.
@Suite struct NormTests {
    @Test(arguments: [1, 7, 64, 193]) func modulatedLayerNorm(_ channels: Int) throws {
        var bench = try Bench(seed: 16)
        let (x, scale, shift) = (try bench.values([5, channels]), try bench.values([channels]), try bench.values([channels]))
        let norm = ModulatedNorm(scale: try bench.rows(scale), shift: try bench.rows(shift), epsilon: 1e-6)
        let expected = try CPU.best.normed(x, by: ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6))
        #expect(try bench.elements(bench.engine.normed(bench.rows(x), by: norm)) == expected.elements)
    }

    @Test(arguments: [0.0, 1.0], [true, false]) func rmsNorm(_ offset: Double, _ isBiased: Bool) throws {
        var bench = try Bench(seed: 17)
        let (x, weight, bias, residual) = (
            try bench.values([2, 3, 13]), try bench.values([13]), isBiased ? try bench.values([13]) : nil, try bench.values([6, 13])
        )
        let host = CPU.best.norm(weight: weight, bias: bias, offset: offset, epsilon: 1e-5)
        let norm = try bench.engine.norm(weight: weight, bias: bias, offset: offset, epsilon: 1e-5)
        let found = try bench.engine.tensor(from: bench.engine.normed(bench.rows(x), by: norm))
        #expect(found.shape == x.shape)
        #expect(try found.elements == host(x).elements)

        var (expected, sum) = (try residual.copy(), try bench.rows(residual))
        let before = sum
        try CPU.best.add(x, normedBy: host, to: &expected)
        try bench.engine.add(bench.rows(x), normedBy: norm, to: &sum)
        #expect(try bench.elements(sum) == expected.elements)
        #expect(try bench.elements(before) == residual.elements)
    }

    /// Rows of four columns lie where kernels read them, rows of three do not.
    @Test(arguments: [3, 4]) func sumsAndRows(_ columns: Int) throws {
        var bench = try Bench(seed: 18)
        let engine = bench.engine
        let (a, b) = (try bench.values([6, columns]), try bench.values([1, 6 * columns]))
        let sum = try engine.sum(bench.rows(a), bench.rows(b))
        #expect(sum.shape == a.shape)
        #expect(try bench.elements(sum) == CPU.best.sum(a, b).elements)
        for index in 0..<6 {
            var row = try engine.row(index, of: sum)
            let expected = try bench.elements(sum)[index * columns..<(index + 1) * columns]
            #expect(row.shape == [columns])
            #expect(try bench.elements(row) == Array(expected))
            // A row is a value of its own.
            let norm = try engine.norm(weight: Tensor([columns], [Float](repeating: 1, count: columns)), bias: nil, offset: 0, epsilon: 1e-5)
            try engine.add(row, normedBy: norm, to: &row)
            #expect(try bench.elements(engine.row(index, of: sum)) == Array(expected))
            #expect(try bench.elements(row) != Array(expected))
        }
    }

    @Test(arguments: [.silu, .gelu, .exactGELU, .geluGate] as [Nonlinearity]) func activations(_ nonlinearity: Nonlinearity) throws {
        var bench = try Bench(seed: 19)
        let x = try bench.values([6, 1030])
        let found = try bench.engine.tensor(from: bench.engine.activated(bench.rows(x), by: nonlinearity))
        let expected = try CPU.best.activated(x, by: nonlinearity)
        #expect(found.shape == expected.shape && distance(found.elements, expected.elements) <= 4e-7)
    }
}
