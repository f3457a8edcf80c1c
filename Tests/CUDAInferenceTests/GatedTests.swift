import CUDAInference
import Operations
import PackedFiles
import Tensors
import Testing

/// The mix-FFN up to its last product against the CPU's.
@Suite struct GatedTests {
    @Test(arguments: [ActivationScheme.int8PerToken, .float], [(1, 1, 1), (2, 3, 5), (3, 4, 17)])
    func gated(_ activations: ActivationScheme, _ size: (maps: Int, height: Int, width: Int)) throws {
        var bench = try Bench(seed: 21)
        let (channels, hidden) = (24, 37)
        let grid = Grid(maps: size.maps, height: size.height, width: size.width)
        let stored = try bench.weight([2 * hidden, channels], .int8PerChannel, activations)
        let biases = try (0..<2).map { _ in try bench.values([hidden]) }
        let taps = StoredWeight.plain(.init(try bench.values([2 * hidden, 3, 3], range: 0.5))), tapBias = try bench.values([2 * hidden])
        let project = StoredWeight.plain(.init(try bench.values([channels, hidden])))
        let x = try bench.values([size.maps * size.height * size.width, channels]),
            (scale, shift) = (try bench.values([channels]), try bench.values([channels]))
        let ranges = [0..<hidden, hidden..<2 * hidden]
        let here = try zip(ranges, biases).map { try CPU.best.linear(stored, $0, bias: $1, compute: .float32) }
        let layer = GatedConvolution<CPU>(
            value: here[0], gate: here[1], depthwise: try CPU.best.depthwise(taps, bias: tapBias), project: try Linear(project, on: .best), norm: nil)
        let there = try zip(ranges, biases).map { try bench.engine.linear(stored, $0, bias: $1, compute: .float32) }
        let depthwise = try bench.engine.depthwise(taps, bias: tapBias)
        for isNormed in [false, true] {
            let expected = try CPU.best.gated(
                x, by: layer, norm: isNormed ? ModulatedNorm(scale: scale, shift: shift, epsilon: 1e-6) : nil, grid: grid)
            let norm = isNormed ? ModulatedNorm(scale: try bench.rows(scale), shift: try bench.rows(shift), epsilon: 1e-6) : nil
            let found = try bench.engine.tensor(from: bench.engine.gated(bench.rows(x), by: there, norm: norm, depthwise, grid))
            #expect(found.shape == expected.shape && distance(found.elements, expected.elements) <= 1e-6)
        }
    }
}
