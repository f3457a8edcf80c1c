import CUDADriver
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import CUDAInference

/// Layers that are on their way while those before compute: on the stand-in, which puts work off until somebody waits for it, and uploads until a piece of
/// pinned memory is needed again.
@Suite struct UploadTests {
    /// An engine of its own, whose work nobody else waits for.
    private static func engine() throws -> Engine { try Engine(try Device(library: StandIn.library)) }

    @Test("A layer takes the memory of the one before the last when that has computed, and not before") func inTurn() throws {
        let engine = try Self.engine()
        var bench = try Bench(seed: 41, on: engine)
        let x = try bench.values([5, 96])
        let (stored, rows) = (try (0..<9).map { _ in try bench.weight([70, 96], .int8PerChannel, .int8PerToken) }, try bench.rows(x))
        let products = try stored.map { try engine.multiply(rows, by: [try bench.linear($0)]) }
        for (product, stored) in zip(products, stored) {
            #expect(try bench.elements(product) == (try Linear(stored, on: .best)(x)).elements)
        }
    }

    @Test("A layer is uploaded before the one in front of it has computed") func ahead() throws {
        // A card of its own: what others wait for is then no work of this one's.
        let folder = try TemporaryFolder()
        let engine = try Engine(try Device(library: try StandIn.copy(in: folder)))
        var bench = try Bench(seed: 42, on: engine)
        let (x, stored) = (try bench.values([5, 96]), try bench.weight([70, 96], .bf16))
        let product = try engine.multiply(try bench.rows(x), by: [try bench.linear(stored)])
        let computed = try TimedEvent(after: try engine.work())
        // More uploads than there are pieces of pinned memory.
        let next = try (0..<5).map { _ in try bench.linear(stored, bias: try bench.values([70])) }
        #expect(throws: DeviceError.self) { _ = try computed.seconds(since: computed) }
        _ = try bench.elements(product)
        #expect(try computed.seconds(since: computed) == 0)
        withExtendedLifetime(next) {}
    }

    @Test("What threads upload to one GPU is there when they compute with it") func threads() async throws {
        let executor = try CUDA(try Device(library: StandIn.library))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask {
                    for turn in 0..<600 {
                        let value = Float(100 * thread + turn)
                        let rows = try executor.rows(from: try Tensor([3, 8], [Float](repeating: value, count: 24)))
                        let sums = try executor.tensor(from: try executor.sum(rows, rows)).elements
                        #expect(sums.allSatisfy { $0 == 2 * value })
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("Two layers are there at once, and no third") func memory() throws {
        let engine = try Self.engine()
        var bench = try Bench(seed: 43, on: engine)
        let (x, stored) = (try bench.rows(try bench.values([5, 96])), try bench.weight([700, 96], .bf16))
        let before = engine.bytes.inUse
        let (layer, product) = (Engine.size(for: 700 * 96 * 2), Engine.size(of: 5 * 700))
        engine.restartPeak()
        for _ in 0..<6 { _ = try engine.multiply(x, by: [try bench.linear(stored)]) }
        #expect(engine.bytes.peak == before + max(2 * layer, layer + product))
        #expect(engine.bytes.inUse == before)
    }
}
