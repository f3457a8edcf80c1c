import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// What is said of the device's bytes before anything is computed, against what the engine counts.
@Suite struct DeviceFootprintTests {
    private static func size(_ stored: StoredWeight) -> WeightSize { WeightSize(stored.shape, planeBytes: stored.shape.elementCount, form: stored.form) }

    @Test("A chain in rings takes what is said, and no less than two thirds of it", arguments: [WeightKind.integers, .float32], [(3, 5), (12, 10)])
    func chains(_ kind: WeightKind, _ map: (height: Int, width: Int)) throws {
        let engine = try Engine(try Device(library: StandIn.library))
        var maker = try ImageMaker(seed: 61, on: engine)
        func size(_ outputs: Int, _ inputs: Int) throws -> WeightSize { Self.size(try kind.stored(try Tensor([outputs, 3, 3, inputs]))) }
        let operations = [
            try maker.doubling(24, 48, kind, shortcut: true), try maker.residual(24, kind, kind), try maker.shuffling(12, 24, kind, shortcut: true),
            try maker.norm(12, .relu), try maker.one(9, 12, kind), try maker.one(20, 9, kind, step: 2),
        ]
        let works: [RowWork] = [
            .doubling(try size(24, 48)), .residual(first: try size(24, 24), second: try size(24, 24)), .shuffling(try size(48, 24), often: true), .norm,
            .convolution(try size(9, 12)), .halving(try size(20, 9)),
        ]
        for count in [1, 3, 4, 6] {
            let x = try engine.rows(from: try maker.random.tensor([map.height, map.width, 48]))
            let before = engine.bytes.inUse
            engine.restartPeak()
            let result = try engine.run(operations[..<count].map(\.device), on: x)
            let (inUse, peak) = engine.bytes
            let stated = engine.footprint(Array(works[..<count]), height: map.height, width: map.width, channels: 48)
            #expect(inUse - before == stated.kept, "\(count) operations")
            #expect(peak - before <= stated.peak, "\(count) operations")
            #expect(stated.peak * 2 <= (peak - before) * 3, "\(count) operations")
            withExtendedLifetime(result) {}
        }
    }

    @Test(arguments: WeightKind.allCases) func weights(_ kind: WeightKind) throws {
        let engine = try Engine(try Device(library: StandIn.library))
        var maker = try ImageMaker(seed: 62, on: engine)
        let dense = try kind.stored(try maker.random.tensor([70, 3, 3, 40])), deep = try WeightKind.float32.stored(try maker.random.tensor([200, 5, 5]))
        let convolution = try engine.convolution(dense, bias: nil)
        let taken = engine.bytes.inUse
        #expect(taken == DeviceConvolution.footprint(of: Self.size(dense)).peak)
        let depthwise = try engine.depthwise(deep, bias: nil)
        #expect(engine.bytes.inUse - taken == DeviceDepthwise.footprint(of: Self.size(deep)).peak)
        withExtendedLifetime((convolution, depthwise)) {}
    }
}
