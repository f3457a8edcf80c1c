internal import CGPUKernels
package import CUDADriver
internal import Synchronization
package import Tensors

/// A GPU with the kernels that ship, one stream of work, and memory that is used again.
///
/// All work is on the one stream: memory that a value leaves behind is the next one's at once, since what read it is done before what writes it. What is
/// uploaded has a stream and memory of its own, so that a layer is on its way while the one before computes.
package final class Engine: Sendable {
    package let device: Device
    private let own: Stream
    /// Uploads, which nobody's work holds up but that of whoever had their place before.
    private let uploading: Stream
    private let state = Mutex(State())
    /// What weights are uploaded through.
    let uploads: Uploads
    /// Who finds that float16 does not hold a layer's inputs.
    let beyond: BeyondFloat16

    private struct State {
        var modules: [CInt: Module] = [:]
        /// By place in the table, and by bytes of shared memory, which belong to what the driver prepares.
        var kernels: [CInt: [Int: Kernel]] = [:]
        /// Memory that nobody uses, by its size.
        var idle: [Int: [DeviceMemory]] = [:]
        /// The same of what is uploaded, the oldest first, with the point that the work has to come to which has used it.
        var uploaded: [Int: [(memory: DeviceMemory, used: Event)]] = [:]
        /// What was uploaded and is nobody's any more; the work that has used it is queued.
        var leaving: [DeviceMemory] = []
        /// Whether something was uploaded since work last waited for uploads.
        var hasUploads = false
        var inUse = 0
        var peak = 0
        var recordings: [WeakRecordings] = []
        var launches = 0
    }

    private struct WeakRecordings: Sendable { weak var value: Recordings? }

    /// Where a kernel is in the program's table.
    private static let places = Dictionary(uniqueKeysWithValues: (0..<cg_kernel_count()).map { unsafe (String(cString: cg_kernel_at($0).name), $0) })

    private let compiling: @Sendable () -> Void

    /// Whether work that is done again is recorded.
    let records: Bool

    /// - Parameter records: false only to see that it changes nothing.
    package init(_ device: Device, records: Bool = true, compiling: @escaping @Sendable () -> Void = {}) throws(MachineError) {
        (self.device, self.records, self.compiling) = (device, records, compiling)
        let stream = try onDevice { () throws(DeviceError) in try Stream(device) }
        own = stream
        let uploading = try onDevice { () throws(DeviceError) in try Stream(device) }
        self.uploading = uploading
        beyond = BeyondFloat16(device, stream)
        uploads = try onDevice { () throws(DeviceError) in try Uploads(uploading) }
    }

    deinit {
        // What nobody uses is released behind the work that has used it. Nobody is left to be told of a failure.
        try? own.synchronize()
        try? uploading.synchronize()
    }

    /// Work of a thread with memory that is kept for it, and while it is recorded on a stream of its own: other threads have neither.
    struct Ongoing: Sendable {
        let engine: Engine
        let pool: Pool
        let stream: Stream?
    }
    @TaskLocal private static var ongoing: Ongoing?
    private var ongoing: Ongoing? { Self.ongoing.flatMap { $0.engine === self ? $0 : nil } }

    /// What this thread's work is put on: behind all that was uploaded so far.
    func work() throws(DeviceError) -> Stream {
        if let recording = ongoing?.stream { return recording }
        // Within the lock: whoever finds no uploads comes behind the wait for those that there were.
        try state.withLock { state throws(DeviceError) in
            if state.hasUploads {
                try own.wait(for: Event(after: uploading))
                state.hasUploads = false
            }
            guard !state.leaving.isEmpty else { return }
            let used = try Event(after: own)
            for memory in state.leaving {
                state.inUse -= memory.byteCount
                state.uploaded[memory.byteCount, default: []].append((memory, used))
            }
            state.leaving = []
        }
        return own
    }

    /// Queues a kernel by its name.
    /// - Parameter sharedBytes: of those whose need is not in the table.
    func launch<Argument: BitwiseCopyable>(
        _ name: String, grid: (x: Int, y: Int, z: Int), sharedBytes: Int = 0, _ argument: Argument
    ) throws(MachineError) {
        guard let place = Self.places[name] else { preconditionFailure("there is no kernel \(name)") }
        try launch(place, grid: grid, sharedBytes: sharedBytes, argument)
    }

    /// Queues a kernel by its place in the table.
    func launch<Argument: BitwiseCopyable>(
        _ place: CInt, grid: (x: Int, y: Int, z: Int), sharedBytes: Int = 0, _ argument: Argument
    ) throws(MachineError) {
        let kernel = try kernel(place, sharedBytes)
        try onDevice { () throws(DeviceError) in try kernel.launch(on: work(), grid: grid, argument) }
    }

    /// Queues the fastest kernel of a family for so many rows by the columns of each part.
    /// - Parameter whole: whether all columns have to be in one tile.
    func launchBest<Argument: BitwiseCopyable>(
        _ family: String, rows: Int, columns: [Int], whole: Bool = false, _ argument: Argument
    ) throws(MachineError) {
        let best = unsafe cg_best(family, Int64(rows), columns.map { cg_int($0) }, CInt(columns.count), CInt(device.multiprocessors), whole)
        precondition(best >= 0, "there is no kernel \(family) for \(columns) columns")
        let (tileRows, tileColumns) = unsafe (Int(cg_kernel_at(best).rows), Int(cg_kernel_at(best).columns))
        let blocks = columns.reduce(0) { $0 + Self.pieces($1, of: tileColumns) }
        try launch(best, grid: (Self.pieces(rows, of: tileRows), blocks, 1), argument)
    }

    /// A kernel, whose module is made when it is asked for the first time.
    private func kernel(_ place: CInt, _ sharedBytes: Int) throws(MachineError) -> Kernel {
        let entry = unsafe cg_kernel_at(place)
        let (name, index, threads, bytes) = unsafe (String(cString: entry.name), entry.module, Int(entry.threads), max(sharedBytes, Int(entry.shared)))
        return try onDevice { () throws(DeviceError) in
            try state.withLock { state throws(DeviceError) in
                if let known = state.kernels[place]?[bytes] { return known }
                if state.modules[index] == nil {
                    compiling()
                    state.modules[index] = try unsafe Module(device, name: String(cString: cg_module_name(index)), text: cg_module_text(index))
                }
                guard let kernel = try state.modules[index]?.kernel(name, threads: threads, sharedBytes: bytes) else { preconditionFailure("a module is kept") }
                state.kernels[place, default: [:]][bytes] = kernel
                return kernel
            }
        }
    }

    /// Waits until all work so far is done.
    package func wait() throws(MachineError) { try onDevice { () throws(DeviceError) in try work().synchronize() } }

    // MARK: - Memory

    /// Bytes of the device that are nobody's or idle here, and all there are.
    package func memory() throws(MachineError) -> (free: Int, total: Int) {
        let (free, total) = try onDevice { () throws(DeviceError) in try device.memory() }
        let recorded = recordings.reduce(0) { $0 + $1.byteCount }
        let idle = state.withLock { state in
            state.idle.reduce(0) { $0 + $1.key * $1.value.count } + state.uploaded.reduce(0) { $0 + $1.key * $1.value.count }
        }
        return (free + recorded + idle, total)
    }

    /// Bytes of values and weights on the device, and the most that there were since the peak was restarted. What is idle is not counted.
    package var bytes: (inUse: Int, peak: Int) {
        // What is leaving has left for who asks; a failure is thrown by the work that comes next.
        _ = try? work()
        return state.withLock { ($0.inUse, $0.peak) }
    }

    /// Begins a new peak at what is in use.
    package func restartPeak() { state.withLock { $0.peak = $0.inUse } }

    /// Memory of unknown content, given back with its last reference.
    func take(_ byteCount: Int) throws(MachineError) -> Block {
        let size = Self.size(for: byteCount)
        // What is leaving has left when work goes on.
        _ = try onDevice { () throws(DeviceError) in try work() }
        let pool = ongoing?.pool
        let memory: DeviceMemory
        if let own = pool?.take(size) {
            memory = own
        } else {
            let idle = state.withLock { $0.idle[size]?.popLast() }
            // Nothing is allocated while work is recorded.
            if idle == nil, pool?.isClosed == true { throw .device("work that is recorded takes \(size) bytes more than before") }
            memory = if let idle { idle } else { try allocate(size) }
            pool?.add(size)
        }
        account(size)
        return Block(memory, self, .work(pool))
    }

    /// The same for what is uploaded: what an upload now writes to, nothing that is still to be done reads.
    func takeForUpload(_ byteCount: Int) throws(MachineError) -> Block {
        let size = Self.size(for: byteCount)
        let memory: DeviceMemory
        if let (known, used) = state.withLock({ state in state.uploaded[size]?.isEmpty == false ? state.uploaded[size]?.removeFirst() : nil }) {
            try onDevice { () throws(DeviceError) in try uploading.wait(for: used) }
            memory = known
        } else {
            memory = try allocate(size)
        }
        account(size)
        return Block(memory, self, .uploads)
    }

    /// Has uploads made by `body`, which work to come waits for.
    func upload(_ body: (Stream) throws(DeviceError) -> Void) throws(MachineError) {
        defer { state.withLock { $0.hasUploads = true } }
        try onDevice { () throws(DeviceError) in try body(uploading) }
    }

    /// Counts bytes that come into use, or go out of it.
    func account(_ bytes: Int) {
        state.withLock { state in
            state.inUse += bytes
            state.peak = max(state.peak, state.inUse)
        }
    }

    func raisePeak(to bytes: Int) { state.withLock { $0.peak = max($0.peak, bytes) } }

    /// Memory of the device; what is idle makes way for it.
    private func allocate(_ size: Int) throws(MachineError) -> DeviceMemory {
        do {
            return try DeviceMemory(device, byteCount: size)
        } catch {
            guard case .outOfMemory = error, try giveBackIdle() else { throw .device("\(error)") }
        }
        return try onDevice { () throws(DeviceError) in try DeviceMemory(device, byteCount: size) }
    }

    /// Bytes that so many are given: in steps of a thirty-second, so that values of a few shapes share them.
    static func size(for byteCount: Int) -> Int {
        let step = max(256, (byteCount.nextPowerOfTwo) / 32)
        return max(step, (byteCount + step - 1) / step * step)
    }

    /// Bytes that so many values are given.
    static func size(of values: Int) -> Int { size(for: values * MemoryLayout<Float>.stride) }

    /// Gives memory that nobody uses back to the device, when the work that has used it is done; false where there was none.
    private func giveBackIdle() throws(MachineError) -> Bool {
        try onDevice { () throws(DeviceError) in
            try work().synchronize()
            try uploading.synchronize()
        }
        for recordings in recordings { recordings.forget() }
        let (idle, uploaded) = state.withLock { state in
            defer { (state.idle, state.uploaded) = ([:], [:]) }
            return (state.idle, state.uploaded)
        }
        return withExtendedLifetime((idle, uploaded)) { !idle.isEmpty || !uploaded.isEmpty }
    }

    fileprivate func keep(_ memory: DeviceMemory, _ home: Block.Home) {
        switch home {
        case .uploads: state.withLock { $0.leaving.append(memory) }
        case .work(let pool?):
            account(-memory.byteCount)
            pool.keep(memory)
        case .work:
            account(-memory.byteCount)
            keep(idle: [memory])
        }
    }

    fileprivate func keep(idle memory: some Sequence<DeviceMemory>) {
        state.withLock { state in
            for one in memory { state.idle[one.byteCount, default: []].append(one) }
        }
    }

    // MARK: - Work that is done again

    /// Has the work of `body` take its memory from a pool, and recorded be on a stream.
    func with<Value, Failure: Error>(_ pool: Pool, on stream: Stream? = nil, _ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let result: Result<Value, Failure> = Self.$ongoing.withValue(Ongoing(engine: self, pool: pool, stream: stream)) {
            do throws(Failure) { return .success(try body()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private var recordings: [Recordings] {
        let known = state.withLock { $0.recordings }
        return known.compactMap(\.value)
    }

    /// Remembers recordings that make way where memory is out.
    func register(_ new: Recordings) {
        let known = recordings
        guard !known.contains(where: { $0 === new }) else { return }
        let alive = known + [new]
        state.withLock { $0.recordings = alive.map { WeakRecordings(value: $0) } }
    }

    func countLaunch() { state.withLock { $0.launches += 1 } }

    /// How often recorded work was done.
    package var launches: Int { state.withLock { $0.launches } }

    /// Memory that stays with work that is done again: what a value of it leaves behind is the next one's of that work alone.
    final class Pool: Sendable {
        private let engine: Engine
        private struct State {
            var idle: [Int: [DeviceMemory]] = [:]
            var byteCount = 0
            var isClosed = false
        }
        private let state = Mutex(State())

        init(_ engine: Engine) { self.engine = engine }
        // Nothing is in use where nobody has a block of it.
        deinit { engine.keep(idle: state.withLock { $0.idle.values.flatMap(\.self) }) }

        var byteCount: Int { state.withLock { $0.byteCount } }
        /// Whether it has to do with what it has.
        var isClosed: Bool { state.withLock { $0.isClosed } }
        func close() { state.withLock { $0.isClosed = true } }

        fileprivate func take(_ size: Int) -> DeviceMemory? { state.withLock { $0.idle[size]?.popLast() } }
        fileprivate func add(_ size: Int) { state.withLock { $0.byteCount += size } }
        fileprivate func keep(_ memory: DeviceMemory) { state.withLock { $0.idle[memory.byteCount, default: []].append(memory) } }
    }

    /// So many pieces of a size hold a count.
    static func pieces(_ count: Int, of size: Int) -> Int { (count + size - 1) / size }

    /// Memory of a value. Its last reference gives it to the next.
    final class Block: Sendable {
        private let memory: DeviceMemory
        private let engine: Engine
        fileprivate enum Home {
            case work(Pool?)
            case uploads
        }
        private let home: Home

        fileprivate init(_ memory: DeviceMemory, _ engine: Engine, _ home: Home) { (self.memory, self.engine, self.home) = (memory, engine, home) }
        deinit { engine.keep(memory, home) }

        var address: UInt64 { memory.address }
        func slice(_ byteCount: Int) -> DeviceSlice { memory.slice[0..<byteCount] }
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
