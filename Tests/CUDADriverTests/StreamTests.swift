import CUDADriver
import TestKit
import Testing

/// Work in order: copies, kernels, events and recordings. The stand-in puts all of it off until somebody waits.
@Suite struct StreamTests {
    /// second[t] += first[t].
    private static let add = Bench.kernel(
        """
        mad.wide.u32 %rd0, %t, 4, %first; mad.wide.u32 %rd1, %t, 4, %second;
        ld.global.u32 %r0, [%rd0]; ld.global.u32 %r1, [%rd1]; add.u32 %r1, %r1, %r0; st.global.u32 [%rd1], %r1;
        """)

    @Test("What is uploaded comes back, copied and filled on the way")
    func copies() throws {
        let bench = try Bench()
        let given = try bench.memory([UInt32](0..<100)), copy = try bench.fresh(400)
        try bench.stream.fill(copy, with: 0xab)
        try bench.stream.copy(given[40..<80], to: copy[80..<120])
        let found = try bench.read(copy, as: UInt32.self)
        #expect(found == words(100) { $0 >= 20 && $0 < 30 ? $0 - 10 : 0xabab_abab })
        #expect(try bench.read(copy[0..<0], as: UInt32.self) == [])
    }

    @Test("Uploads through pinned memory, in more pieces than there are slots")
    func uploads() throws {
        let bench = try Bench()
        let place = try bench.fresh(1000)
        let uploads = try Uploads(bench.stream, pieceBytes: 64, slots: 3)
        try uploads.upload(to: place) { offset, bytes in
            for at in unsafe bytes.indices { unsafe bytes[at] = UInt8(truncatingIfNeeded: offset + at) }
        }
        #expect(try bench.read(place, as: UInt8.self) == (0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test("Uploads of rows leave what is between them")
    func rows() throws {
        let bench = try Bench()
        let place = try bench.fresh(17 * 16)
        try bench.stream.fill(place, with: 0)
        let uploads = try Uploads(bench.stream, pieceBytes: 64, slots: 2)
        try uploads.upload(rows: 17, of: 13, to: place, pitch: 16) { rows, bytes in
            for at in unsafe bytes.indices { unsafe bytes[at] = UInt8(rows.lowerBound + at / 13 + 1) }
        }
        #expect(try bench.read(place, as: UInt8.self) == words(272) { $0 % 16 < 13 ? $0 / 16 + 1 : 0 }.map { UInt8($0) })
    }

    @Test("Columns of rows are copied into others")
    func columns() throws {
        let bench = try Bench()
        let given = try bench.memory([UInt32](0..<30)), place = try bench.fresh(5 * 16)
        try bench.stream.fill(place, with: 0)
        try bench.stream.copy(rows: 5, of: 8, from: given[12..<120], pitch: 24, to: place[4..<80], pitch: 16)
        #expect(try bench.read(place, as: UInt32.self) == words(20) { (1...2).contains($0 % 4) ? $0 / 4 * 6 + 2 + $0 % 4 : 0 })
        try bench.stream.copy(rows: 0, of: 8, from: given, pitch: 24, to: place, pitch: 16)
    }

    @Test("Kernels follow each other, and a grid without blocks is no work")
    func kernels() throws {
        let bench = try Bench()
        let first = try bench.memory([UInt32](0..<64)), second = try bench.memory([UInt32](repeating: 5, count: 64))
        let kernel = try bench.module(Self.add).kernel("k", threads: 64)
        let addresses = Bench.Addresses(first: first.address, second: second.address)
        for blocks in [1, 0, 1, 1] { try kernel.launch(on: bench.stream, grid: (blocks, 1, 1), addresses) }
        #expect(try bench.read(second, as: UInt32.self) == words(64) { 5 + 3 * $0 })
    }

    @Test("A stream waits for another's event, whoever is asked first")
    func events() throws {
        let bench = try Bench()
        let other = try Stream(bench.device)
        let first = try bench.memory([UInt32](repeating: 1, count: 64)), second = try bench.memory([UInt32](repeating: 0, count: 64))
        let kernel = try bench.module(Self.add).kernel("k", threads: 64)
        try bench.stream.fill(first, with: 2)
        let event = try Event(after: bench.stream)
        try other.wait(for: event)
        try kernel.launch(on: other, grid: (1, 1, 1), Bench.Addresses(first: first.address, second: second.address))
        try other.synchronize()
        #expect(try bench.read(second, as: UInt32.self) == Array(repeating: 0x0202_0202, count: 64))
        try event.record(after: other)
        try event.synchronize()
    }

    @Test("The time between two points is the work's between them, and is known when it is done")
    func times() throws {
        let bench = try Bench()
        let first = try bench.memory([UInt32](0..<64)), second = try bench.memory([UInt32](repeating: 0, count: 64))
        let kernel = try bench.module(Self.add).kernel("k", threads: 64)
        let addresses = Bench.Addresses(first: first.address, second: second.address)
        var points = [try TimedEvent(after: bench.stream)]
        for launches in [1, 2000, 1] {
            for _ in 0..<launches { try kernel.launch(on: bench.stream, grid: (1, 1, 1), addresses) }
            points.append(try TimedEvent(after: bench.stream))
        }
        #expect(failure { _ = try points[3].seconds(since: points[0]) }?.contains("cuEventElapsedTime gave CUDA_ERROR_NOT_READY (600)") == true)
        try points[3].synchronize()
        let seconds = try points.map { try $0.seconds(since: points[0]) }
        #expect(seconds[0] == 0 && seconds == seconds.sorted())
        #expect(seconds[2] - seconds[1] > 0.5 * seconds[3])
    }

    @Test("A recording does nothing until it is launched, and then each time")
    func graphs() throws {
        let bench = try Bench()
        let first = try bench.memory([UInt32](0..<64)), second = try bench.memory([UInt32](repeating: 0, count: 64)), third = try bench.fresh(256)
        let kernel = try bench.module(Self.add).kernel("k", threads: 64)
        let graph = try Graph(recording: bench.stream) { () throws(DeviceError) in
            try kernel.launch(on: bench.stream, grid: (1, 1, 1), Bench.Addresses(first: first.address, second: second.address))
            try bench.stream.copy(second, to: third)
        }
        #expect(try bench.read(second, as: UInt32.self) == Array(repeating: 0, count: 64))
        for _ in 0..<3 { try graph.launch(on: bench.stream) }
        #expect(try bench.read(third, as: UInt32.self) == words(64) { 3 * $0 })
    }

    @Test("A recording that fails leaves a stream that works")
    func brokenRecording() throws {
        let bench = try Bench()
        let given = try bench.memory([UInt32](0..<64))
        let refused = failure { _ = try Graph(recording: bench.stream) { () throws(DeviceError) in _ = try DeviceMemory(bench.device, byteCount: 64) } }
        #expect(refused?.contains("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED") == true)
        let waited = failure { _ = try Graph(recording: bench.stream) { () throws(DeviceError) in try bench.stream.synchronize() } }
        #expect(
            waited?.contains("cuStreamSynchronize gave CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900), operation not permitted when stream is capturing") == true)
        #expect(try bench.read(given, as: UInt32.self) == Array(0..<64))
    }

    @Test("What is launched wrongly is refused at once")
    func refusals() throws {
        let bench = try Bench()
        let module = try bench.module(Self.add)
        #expect(
            failure { _ = try module.kernel("none", threads: 1) }?.contains(
                "the GPU refused the kernel none of tests: cuModuleGetFunction gave CUDA_ERROR_NOT_FOUND (500)") == true)
        #expect(failure { _ = try module.kernel("k", threads: 1, sharedBytes: 100 << 10) }?.contains("102400 bytes of shared memory for k") == true)
        let large = try module.kernel("k", threads: 2048)
        let addresses = Bench.Addresses(first: 0, second: 0)
        #expect(
            failure { try large.launch(on: bench.stream, grid: (1, 1, 1), addresses) }?.contains("cuLaunchKernel gave CUDA_ERROR_INVALID_VALUE (1)") == true)
        let high = try module.kernel("k", threads: 32)
        #expect(failure { try high.launch(on: bench.stream, grid: (1, 1 << 16, 1), addresses) }?.contains("CUDA_ERROR_INVALID_VALUE") == true)
        _ = try module.kernel("k", threads: 32, sharedBytes: 99 << 10)
    }

    @Test("What a kernel did wrong is thrown by the next wait, and by all calls after it")
    func failed() throws {
        let folder = try TemporaryFolder()
        let bench = try Bench(try StandIn.copy(in: folder))
        let given = try bench.memory([UInt32](0..<64)), kernel = try bench.module(Self.add).kernel("k", threads: 64)
        // The launch itself is fine: nothing has run yet.
        try kernel.launch(on: bench.stream, grid: (1, 1, 1), Bench.Addresses(first: given.address + 4, second: given.address))
        for call in [{ try bench.stream.synchronize() }, { _ = try DeviceMemory(bench.device, byteCount: 4) }, { _ = try Event(after: bench.stream) }]
            as [() throws -> Void]
        {
            let found = try #require(failure(call))
            #expect(
                found.contains("CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access was encountered: k in block (0, 0, 0), thread 63 reads 4 bytes"),
                "\(found)")
        }
    }
}
