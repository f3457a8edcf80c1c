import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Memory of a device, and what is said where it or a kernel fails.
@Suite struct MemoryTests {
    /// An engine that nobody else uses: on the first card, or on that with 1 MiB.
    private static func engine(_ card: Int = 0, steps: UInt64 = 1 << 33, in folder: TemporaryFolder) throws -> Engine {
        try Engine(try Device(card, library: try StandIn.copy(in: folder, steps: steps)))
    }

    @Test("What has no rows gives none, and memory is used again") func reuse() throws {
        let folder = try TemporaryFolder()
        var bench = try Bench(seed: 8)
        let engine = try Self.engine(in: folder)
        let linear = try engine.linear(try bench.weight([8, 64], .int8PerChannel, .int8PerToken), 0..<8, bias: nil, compute: .float32)
        #expect(try engine.multiply(try engine.rows(from: try Tensor([0, 64])), by: [linear]).shape == [0, 8])
        let x = try bench.values([4, 64])
        _ = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear]))
        let (free, used) = (try engine.device.memory().free, engine.bytes.inUse)
        for _ in 0..<3 { _ = try engine.tensor(from: try engine.multiply(try engine.rows(from: x), by: [linear])) }
        #expect(try engine.device.memory().free == free)
        #expect(engine.bytes.inUse == used)
    }

    @Test("Bytes are counted as they are taken") func counts() throws {
        let folder = try TemporaryFolder()
        let engine = try Self.engine(in: folder)
        #expect(engine.bytes == (0, 0))
        var first: DeviceRows? = try engine.rows(from: Tensor([100, 64]))
        #expect(engine.bytes == (25_600, 25_600))
        let second = try engine.rows(from: Tensor([1]))
        first = nil
        #expect(first == nil && engine.bytes == (256, 25_856))
        engine.restartPeak()
        #expect(engine.bytes == (256, 256))
        withExtendedLifetime(second) {}
    }

    @Test("What nobody uses makes way before memory is out; then one sentence says so") func outOfMemory() throws {
        let folder = try TemporaryFolder()
        let engine = try Self.engine(2, in: folder)
        // Kinds of values, each of which fits alone.
        for columns in [30_000, 60_000, 90_000, 120_000, 30_000] {
            let rows = try engine.rows(from: Tensor([1, columns], [Float](repeating: 2, count: columns)))
            #expect(try engine.tensor(from: engine.sum(rows, rows)).elements.allSatisfy { $0 == 4 })
        }
        var kept: [DeviceRows] = []
        let error = #expect(throws: MachineError.self) {
            for _ in 0..<10 { kept.append(try engine.rows(from: Tensor([1, 60_000]))) }
        }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.hasPrefix("out of GPU memory: expected 245760 bytes more, found "))
        #expect(text.hasSuffix("; end other programs that use the GPU, ask for less, or compute on the CPU"))
        // What fits is still computed.
        kept = []
        #expect(try engine.tensor(from: engine.rows(from: Tensor([1, 200_000]))).count == 200_000)
    }

    @Test("A kernel that fails says so in one sentence, with CUDA's name of it") func launches() throws {
        let folder = try TemporaryFolder()
        let engine = try Self.engine(steps: 100, in: folder)
        let x = try engine.rows(from: Tensor([3, 20_000]))
        let norm = ModulatedNorm(scale: try engine.rows(from: Tensor([20_000])), shift: try engine.rows(from: Tensor([20_000])), epsilon: 1e-6)
        let error = #expect(throws: MachineError.self) { _ = try engine.tensor(from: engine.normed(x, by: norm)) }
        let text = error.map { "\($0)" } ?? ""
        #expect(
            text.contains("CUDA_ERROR_LAUNCH_TIMEOUT") && text.hasSuffix("; run again, and if it stays so, compute on the CPU and report this line"), "\(text)")
        #expect(text.components(of: "the GPU refused") == 1)
    }
}

extension String {
    fileprivate func components(of part: String) -> Int { ranges(of: part).count }
}
