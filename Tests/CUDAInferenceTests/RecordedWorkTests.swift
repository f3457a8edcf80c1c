import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Work that is done again as one graph, beside the same work done anew.
@Suite struct RecordedWorkTests {
    /// An executor of its own: its launches and bytes are counted.
    private static func executor() throws -> CUDA { try CUDA(try Device(library: StandIn.library)) }

    private struct Layers {
        let first: DeviceLinear
        let second: DeviceLinear
        let norm: DeviceNorm

        init(_ executor: CUDA, _ bench: inout Bench) throws {
            let stored = try bench.weight([64, 32], .int8PerChannel, .int8PerToken), back = try bench.weight([32, 64], .bf16)
            first = try executor.linear(stored, 0..<64, bias: nil, compute: .float32)
            second = try executor.linear(back, 0..<32, bias: nil, compute: .bfloat16)
            norm = try executor.norm(weight: try bench.values([32]), bias: nil, offset: 0, epsilon: 1e-5)
        }

        /// Attention of rows to a prompt, and a sum that is updated in place.
        func run(_ inputs: RepeatedInputs<CUDA>, on executor: CUDA) throws(MachineError) -> DeviceRows {
            var x = try executor.sum(inputs.rows[0][0], inputs.rows[0][0])
            var queries = try executor.normed(x, by: norm)
            let attended = try executor.crossAttention(&queries, queryNorm: nil, to: inputs.keyValues[0])
            try executor.add(try executor.multiply(attended, by: [first], norm: nil, then: .silu), by: second, to: &x, gate: inputs.rows[1][0])
            return x
        }
    }

    private static func inputs(_ executor: CUDA, _ bench: inout Bench, rows: Int, prompt: DeviceKeyValues) throws -> RepeatedInputs<CUDA> {
        RepeatedInputs(
            rows: [[try executor.rows(from: try bench.values([rows, 32]))], [try executor.rows(from: try bench.values([32]))]], keyValues: [[prompt]])
    }

    private static func prompt(_ executor: CUDA, _ bench: inout Bench) throws -> DeviceKeyValues {
        var rows = try executor.rows(from: try bench.values([7, 64]))
        return try executor.keyValues(&rows, keyNorm: nil, heads: 2, headDimension: 16)
    }

    @Test("The same bits, for other values and other prompts, and for two sizes in turn") func bits() throws {
        let executor = try Self.executor()
        var bench = try Bench(seed: 31)
        let layers = try Layers(executor, &bench), work = RepeatedWork()
        let prompts = [try Self.prompt(executor, &bench), try Self.prompt(executor, &bench)]
        var calls = 0
        for turn in 0..<8 {
            let inputs = try Self.inputs(executor, &bench, rows: turn % 2 == 0 ? 5 : 40, prompt: prompts[turn / 4])
            let found = try executor.again(work, [turn % 2], inputs) { inputs throws(MachineError) in
                calls += 1
                return try layers.run(inputs, on: executor)
            }
            let expected = try executor.tensor(from: try layers.run(inputs, on: executor))
            #expect(try executor.tensor(from: found).elements == expected.elements, "turn \(turn)")
        }
        // Each size is done once, recorded once, and then launched.
        #expect(calls == 4 && executor.engine.launches == 6)
    }

    @Test("Numbers tell apart work of the same shapes; of many kinds the last are known") func numbers() throws {
        let executor = try Self.executor()
        var bench = try Bench(seed: 32)
        let layers = try Layers(executor, &bench), work = RepeatedWork(), prompt = try Self.prompt(executor, &bench)
        let inputs = try Self.inputs(executor, &bench, rows: 5, prompt: prompt)
        var calls: [Int] = []
        for number in [1, 1, 1, 2, 1, 3, 1, 2, 2] {
            _ = try executor.again(work, [number], inputs) { inputs throws(MachineError) in
                calls.append(number)
                return try layers.run(inputs, on: executor)
            }
        }
        #expect(calls == [1, 1, 2, 3, 2, 2])
    }

    @Test("Bytes in use are those of the plain work and of places for inputs, and all go when the work is let go") func bytes() throws {
        // A card of its own too, whose free memory is compared.
        let folder = try TemporaryFolder()
        let executor = try CUDA(try Device(library: try StandIn.copy(in: folder))), engine = executor.engine
        var bench = try Bench(seed: 33)
        let layers = try Layers(executor, &bench), prompt = try Self.prompt(executor, &bench)
        let inputs = try Self.inputs(executor, &bench, rows: 300, prompt: prompt)
        let before = engine.bytes.inUse
        engine.restartPeak()
        _ = try layers.run(inputs, on: executor)
        let plain = engine.bytes.peak - before
        var work: RepeatedWork? = RepeatedWork()
        let stated = plain + executor.footprint(of: .again(inputs: [300 * 32, 32, 7 * 64], result: 300 * 32)).kept
        for turn in 0..<4 {
            engine.restartPeak()
            let result = try executor.again(try #require(work), [], inputs) { inputs throws(MachineError) in try layers.run(inputs, on: executor) }
            let peak = engine.bytes.peak - before
            #expect(peak > plain && peak <= stated, "turn \(turn): \(peak) of \(stated), plain \(plain)")
            withExtendedLifetime(result) {}
            #expect(engine.bytes.inUse == before + executor.byteCount(of: 300 * 32))
        }
        let free = try engine.memory().free
        work = nil
        #expect(engine.bytes.inUse == before)
        #expect(try engine.memory().free == free)
        withExtendedLifetime((layers, prompt, inputs)) {}
    }

    @Test("Where memory is out, recordings make way") func memory() throws {
        let folder = try TemporaryFolder()
        // A card of one MiB.
        let executor = try CUDA(try Device(2, library: try StandIn.copy(in: folder)))
        var bench = try Bench(seed: 34)
        let layers = try Layers(executor, &bench), prompt = try Self.prompt(executor, &bench), work = RepeatedWork()
        let inputs = try Self.inputs(executor, &bench, rows: 200, prompt: prompt)
        let expected = try executor.tensor(from: try layers.run(inputs, on: executor))
        var calls = [0]
        for turn in 0..<8 {
            var count = calls[turn]
            let found = try executor.again(work, [], inputs) { inputs throws(MachineError) in
                count += 1
                return try layers.run(inputs, on: executor)
            }
            calls.append(count)
            #expect(try executor.tensor(from: found).elements == expected.elements)
            // More than the driver has, of which recordings keep some.
            if turn == 2 { _ = try executor.rows(from: try Tensor([(try executor.engine.device.memory().free + 8192) / 4])) }
        }
        // Launched once, made again behind what took the memory, and launched in the end.
        #expect(calls[2] == calls[3] && calls[3] < calls[4] && calls[7] == calls[8], "\(calls)")
    }

    @Test("What cannot be recorded is done anew each time, and what fails is forgotten") func refused() throws {
        let executor = try Self.executor()
        var bench = try Bench(seed: 35)
        let layers = try Layers(executor, &bench), work = RepeatedWork(), prompt = try Self.prompt(executor, &bench)
        let inputs = try Self.inputs(executor, &bench, rows: 5, prompt: prompt)
        let expected = try executor.tensor(from: try layers.run(inputs, on: executor)).elements
        for _ in 0..<4 {
            let found = try executor.again(work, [0], inputs) { inputs throws(MachineError) in
                // Nothing may be waited for while work is recorded.
                try executor.engine.wait()
                return try layers.run(inputs, on: executor)
            }
            #expect(try executor.tensor(from: found).elements == expected)
        }
        #expect(executor.engine.launches == 0)
        var fails = true
        for turn in 0..<4 {
            let run = {
                try executor.again(work, [1], inputs) { inputs throws(MachineError) in
                    if fails { throw .device("stop") }
                    return try layers.run(inputs, on: executor)
                }
            }
            if turn == 0 {
                #expect(throws: MachineError.device("stop")) { try run() }
            } else {
                #expect(try executor.tensor(from: try run()).elements == expected)
            }
            fails = false
        }
        #expect(executor.engine.launches == 2)
    }
}
