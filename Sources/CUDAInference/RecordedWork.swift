internal import CUDADriver
package import Operations
internal import Synchronization
package import Tensors

/// What is known of work that is done again: a recording for each kind of inputs, of those that came last.
final class Recordings: Sendable {
    struct Key: Sendable, Equatable {
        let numbers: [Int]
        let rows: [[Shape]]
        let keyValues: [[Shape]]
    }

    /// So many are kept: with and without a prompt, where a step is both.
    private static let most = 2
    private let known = Mutex<[(key: Key, recording: Recording)]>([])

    /// The recording of a key, from now on the newest.
    func recording(_ key: Key, _ make: () throws(MachineError) -> Recording) throws(MachineError) -> Recording {
        let found = known.withLock { known in known.firstIndex { $0.key == key }.map { known.remove(at: $0).recording } }
        let recording = if let found { found } else { try make() }
        // What is forgotten is let go outside of the lock.
        let before = known.withLock { known in
            let before = known
            known = known.suffix(Self.most - 1) + [(key, recording)]
            return before
        }
        return withExtendedLifetime(before) { recording }
    }

    /// Forgets all: their memory goes to the engine's with their last reference.
    func forget() {
        let before = known.withLock { known in
            defer { known = [] }
            return known
        }
        withExtendedLifetime(before) {}
    }

    /// Bytes of the device that are theirs, whether they are in use or not.
    var byteCount: Int { known.withLock { $0.reduce(0) { $0 + $1.recording.pool.byteCount } } }
}

/// Work with the places that its inputs are copied to, and memory of its own, in which all that it makes on the way has the same addresses each time.
final class Recording: Sendable {
    enum Stage {
        /// Its memory has not been found yet, nor its kernels loaded.
        case fresh
        case prepared
        case recorded(Graph, DeviceRows)
        /// The driver does not record it.
        case refused
    }

    struct State: Sendable {
        var stage = Stage.fresh
        /// What the places of keys and values hold, while that is there.
        var sources: [Source] = []
        /// Bytes that stay in use in between: the places and the result.
        var heldBytes = 0
        /// The most that it takes beside them.
        var mostBytes = 0
    }

    struct Source: Sendable {
        weak var block: Engine.Block?
        let address: UInt64
    }

    let pool: Engine.Pool
    let places: RepeatedInputs<CUDA>
    let state: Mutex<State>
    private let engine: Engine

    init(_ engine: Engine, _ pool: Engine.Pool, _ places: RepeatedInputs<CUDA>) {
        (self.engine, self.pool, self.places) = (engine, pool, places)
        let all = places.rows.joined().map(\.byteCount) + places.keyValues.joined().map(\.rows.byteCount)
        state = Mutex(State(heldBytes: all.reduce(0) { $0 + Engine.size(for: $1) }))
    }

    // What is held is given back as if it had been in use.
    deinit { engine.account(state.withLock { $0.heldBytes }) }
}

extension Engine {
    /// What `body` makes of inputs. The first time it is done as any other work, in memory that is then kept for it; the second time it is recorded; from
    /// then on it is one graph, which computes the same.
    package func again<Failure: MachineFailure>(
        _ work: RepeatedWork, _ numbers: [Int], _ inputs: RepeatedInputs<CUDA>, _ body: (RepeatedInputs<CUDA>) throws(Failure) -> DeviceRows
    ) throws(Failure) -> DeviceRows {
        guard records else { return try body(inputs) }
        let recordings = work.kept { Recordings() }
        register(recordings)
        let key = Recordings.Key(numbers: numbers, rows: inputs.rows.map { $0.map(\.shape) }, keyValues: inputs.keyValues.map { $0.map(\.rows.shape) })
        let recording = try Failure.of { () throws(MachineError) in
            try recordings.recording(key) { () throws(MachineError) in try self.recording(inputs) }
        }
        let stage = recording.state.withLock { $0.stage }
        if case .refused = stage { return try body(inputs) }
        account(recording.state.withLock { $0.heldBytes })
        defer { account(-recording.state.withLock { $0.heldBytes }) }
        do throws(Failure) {
            try Failure.of { () throws(MachineError) in try copy(inputs, to: recording) }
            switch stage {
            case .fresh:
                let result = try prepared(recording, body)
                return try Failure.of { () throws(MachineError) in try copy(result) }
            case .prepared:
                guard let result = record(recording, body) else { return try body(inputs) }
                return try Failure.of { () throws(MachineError) in try launch(recording, result.graph, result.rows) }
            case .recorded(let graph, let rows):
                return try Failure.of { () throws(MachineError) in try launch(recording, graph, rows) }
            case .refused: preconditionFailure("is done above")
            }
        } catch {
            // Nobody knows how far it has come.
            recordings.forget()
            throw error
        }
    }

    /// A new recording, with places for inputs like these; they are in use when it returns, and then no longer counted.
    private func recording(_ inputs: RepeatedInputs<CUDA>) throws(MachineError) -> Recording {
        let pool = Pool(self)
        let places = try with(pool) { () throws(MachineError) in
            var places = inputs
            for group in places.rows.indices {
                for index in places.rows[group].indices { places.rows[group][index] = try fresh(places.rows[group][index].shape) }
            }
            for group in places.keyValues.indices {
                for index in places.keyValues[group].indices {
                    let own = places.keyValues[group][index]
                    places.keyValues[group][index] = DeviceKeyValues(rows: try fresh(own.rows.shape), heads: own.heads, headDimension: own.headDimension)
                }
            }
            return places
        }
        let recording = Recording(self, pool, places)
        account(-recording.state.withLock { $0.heldBytes })
        return recording
    }

    /// Rows anew each time, keys and values where others were copied last.
    private func copy(_ inputs: RepeatedInputs<CUDA>, to recording: Recording) throws(MachineError) {
        for (from, to) in zip(inputs.rows.joined(), recording.places.rows.joined()) {
            try onDevice { () throws(DeviceError) in try work().copy(from.slice, to: to.slice) }
        }
        let keyValues = inputs.keyValues.joined().map(\.rows)
        let known = recording.state.withLock { $0.sources }
        for (index, (from, to)) in zip(keyValues, recording.places.keyValues.joined().map(\.rows)).enumerated() {
            if known.indices.contains(index), known[index].block === from.block, known[index].address == from.address { continue }
            try onDevice { () throws(DeviceError) in try work().copy(from.slice, to: to.slice) }
        }
        recording.state.withLock { $0.sources = keyValues.map { Recording.Source(block: $0.block, address: $0.address) } }
    }

    /// Does the work, and finds what memory it takes.
    private func prepared<Failure: Error>(
        _ recording: Recording, _ body: (RepeatedInputs<CUDA>) throws(Failure) -> DeviceRows
    ) throws(Failure) -> DeviceRows {
        let before = bytes
        restartPeak()
        defer {
            recording.state.withLock { $0.mostBytes = max(0, bytes.peak - before.inUse) }
            raisePeak(to: before.peak)
        }
        let result = try with(recording.pool) { () throws(Failure) in try body(recording.places) }
        recording.state.withLock { $0.stage = .prepared }
        return result
    }

    /// Records the work, whose memory and kernels are there; nil where the driver refuses that.
    private func record<Failure: Error>(
        _ recording: Recording, _ body: (RepeatedInputs<CUDA>) throws(Failure) -> DeviceRows
    ) -> (graph: Graph, rows: DeviceRows)? {
        recording.pool.close()
        var made: DeviceRows?
        let graph = (try? Stream(device)).flatMap { stream in
            try? Graph(recording: stream) { made = with(recording.pool, on: stream) { try? body(recording.places) } }
        }
        guard let graph, let rows = made else {
            recording.state.withLock { $0.stage = .refused }
            return nil
        }
        recording.state.withLock { state in
            state.stage = .recorded(graph, rows)
            state.heldBytes += Self.size(for: rows.byteCount)
        }
        return (graph, rows)
    }

    private func launch(_ recording: Recording, _ graph: Graph, _ rows: DeviceRows) throws(MachineError) -> DeviceRows {
        let most = recording.state.withLock { $0.mostBytes }
        account(most)
        defer { account(-most) }
        try onDevice { () throws(DeviceError) in try graph.launch(on: work()) }
        countLaunch()
        return try copy(rows)
    }
}

extension MachineFailure {
    /// The value of a body, or this error of the one that it throws.
    fileprivate static func of<Value>(_ body: () throws(MachineError) -> Value) throws(Self) -> Value {
        do throws(MachineError) { return try body() } catch { throw Self(error) }
    }
}
