import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Depthwise and grouped convolutions, and what moves channels, on the stand-in against the CPU.
@Suite struct DeviceDepthwiseTests {
    @Test(arguments: [3, 5], [WeightKind.float32, .bfloat16, .rows]) func depthwise(_ kernel: Int, _ kind: WeightKind) throws {
        var maker = try ImageMaker(seed: 51)
        for (height, width, channels) in [(1, 1, 3), (3, 3, 40), (7, 13, 29)] {
            let x = try maker.random.tensor([height, width, channels])
            let stored = try kind.stored(try maker.random.tensor([channels, kernel, kernel]))
            for bias in [nil, try maker.random.tensor([channels])] {
                let layer = try maker.engine.depthwise(stored, bias: bias)
                let found = try maker.engine.tensor(from: try maker.engine.applied(layer, to: try maker.engine.rows(from: x)))
                #expect(distance(found, try CPU.best.depthwise(stored, bias: bias)(x)) <= 1e-6)
            }
        }
    }

    @Test(arguments: [WeightKind.float32, .bfloat16]) func pointwise(_ kind: WeightKind) throws {
        var maker = try ImageMaker(seed: 52)
        for (height, width, channels, group) in [(1, 1, 8, 8), (5, 7, 96, 32), (3, 3, 12, 4)] {
            let x = try maker.random.tensor([height, width, channels])
            let stored = try kind.stored(try maker.random.tensor([channels, group]))
            let layer = try maker.engine.pointwise(stored)
            let found = try maker.engine.tensor(from: try maker.engine.applied(layer, to: try maker.engine.rows(from: x)))
            #expect(distance(found, try CPU.best.pointwise(stored)(x)) <= 2e-6)
        }
    }

    @Test func unshuffled() throws {
        var maker = try ImageMaker(seed: 53)
        for (height, width, channels) in [(2, 2, 1), (6, 10, 7), (4, 2, 64)] {
            let x = try maker.random.tensor([height, width, channels])
            let found = try maker.engine.tensor(from: try maker.engine.unshuffled(try maker.engine.rows(from: x)))
            #expect(agree(found, try CPU.best.unshuffled(x)))
        }
    }

    @Test(arguments: [(4, 12), (12, 4), (5, 5), (96, 3)]) func shortcuts(_ inputs: Int, _ outputs: Int) throws {
        var maker = try ImageMaker(seed: 54)
        let (x, y) = (try maker.random.tensor([3, 5, inputs]), try maker.random.tensor([3, 5, outputs]))
        var (expected, found) = (try y.copy(), try maker.engine.rows(from: y))
        let before = found
        CPU.best.addShortcut(x, to: &expected)
        try maker.engine.addShortcut(try maker.engine.rows(from: x), to: &found)
        #expect(agree(try maker.engine.tensor(from: found), expected))
        // Who shares the map keeps it.
        #expect(agree(try maker.engine.tensor(from: before), y))
    }
}
