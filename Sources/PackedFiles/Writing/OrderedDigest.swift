import Files
import Synchronization
package import Tensors

/// SHA-256 of bytes that come in order: one stream of many that the threads of a pool hash when they are free, two at once where two have
/// bytes waiting.
@safe package final class OrderedDigest: @unchecked Sendable {  // guarded by the mutex of `HashingStreams`, the stream by who has taken it
    private let streams: HashingStreams
    fileprivate var stream = SHA256Stream()
    fileprivate var waiting: [Part] = []
    /// Bytes of the first part that are hashed.
    fileprivate var done = 0
    /// Whether it stands in the list of those that have bytes waiting, or a thread has taken it from there.
    fileprivate var isListed = false
    /// Whether somebody waits for the digest.
    fileprivate var isWanted = false

    fileprivate struct Part {
        let buffer: Buffer
        let range: Range<Int>
    }

    package init(_ streams: HashingStreams) { self.streams = streams }

    /// Adds the bytes of a part of a buffer, which stay as they are until they are hashed. Waits while too many are not; for the owner of the pool.
    package func append(_ buffer: Buffer, _ range: Range<Int>) { streams.add(OrderedDigest.Part(buffer: buffer, range: range), to: self) }

    /// The digest of all that was added; for the owner of the pool.
    package func digest() -> String { streams.digest(of: self) }
}

/// The streams that are hashed together.
///
/// Two streams take hardly longer than one: a lone stream is left alone as long as not too many bytes wait, since another one will come.
package final class HashingStreams: Sendable {
    private let pool: WorkPool
    private let state = Mutex(State())
    private let mostJobs: Int
    private let patience: Int
    private let room: Int

    /// Bytes of a lone stream that are hashed before another one is looked for.
    private static let loneByteCount = 128 << 10

    private struct State {
        /// Those that have bytes waiting, but for the ones that a thread has taken.
        var listed: [OrderedDigest] = []
        /// Bytes that are not hashed yet.
        var byteCount = 0
        /// Jobs that are queued or at work.
        var jobs = 0
    }

    /// - Parameters:
    ///   - patience: bytes that may wait for a second stream to be hashed with.
    ///   - room: bytes that may wait at all, before more can be added.
    package init(_ pool: WorkPool, patience: Int = 0, room: Int = .max) {
        precondition(0...room ~= patience)
        self.pool = pool
        self.patience = patience
        self.room = room
        // A job hashes two streams in little more time than one: half the threads do as much as all would.
        mostJobs = max(1, pool.threads / 2)
    }

    /// Bytes that are not hashed yet.
    var waitingByteCount: Int { state.withLock { $0.byteCount } }

    fileprivate func add(_ part: OrderedDigest.Part, to stream: OrderedDigest) {
        state.withLock { state in
            state.byteCount += part.range.count
            stream.waiting.append(part)
            guard !stream.isListed else { return }
            stream.isListed = true
            state.listed.append(stream)
        }
        startJob()
        pool.work { waitingByteCount <= room }
    }

    fileprivate func digest(of stream: OrderedDigest) -> String {
        state.withLock { _ in stream.isWanted = true }
        startJob()
        pool.work { state.withLock { _ in !stream.isListed } }
        return stream.stream.digest()
    }

    /// Whether there is something to hash now: two streams, or one that is not to wait for another.
    private func isReady(_ state: State) -> Bool {
        guard let first = state.listed.first else { return false }
        return state.listed.count > 1 || first.isWanted || state.byteCount > patience
    }

    private func startJob() {
        let isNeeded = state.withLock { state in
            guard state.jobs < mostJobs, isReady(state) else { return false }
            state.jobs += 1
            return true
        }
        if isNeeded { pool.submit(detached: work) }
    }

    /// A stream that a thread has taken, with the bytes that are next.
    @safe private struct Turn {
        let digest: OrderedDigest
        @unsafe let bytes: UnsafeRawBufferPointer

        init(_ digest: OrderedDigest) {
            self.digest = digest
            let part = digest.waiting[0]
            unsafe bytes = UnsafeRawBufferPointer(rebasing: part.buffer.bytes[part.range.lowerBound + digest.done..<part.range.upperBound])
        }
    }

    /// Hashes until nothing is to be hashed now.
    @Sendable private func work() {
        while true {
            let turns = take()
            guard let first = turns.first else { return }
            let most = turns.map { unsafe $0.bytes.count }.min() ?? 0
            if turns.count == 2 {
                let second = turns[1]
                unsafe SHA256Stream.update(
                    &first.digest.stream, UnsafeRawBufferPointer(rebasing: first.bytes[..<most]), &second.digest.stream,
                    UnsafeRawBufferPointer(rebasing: second.bytes[..<most]))
                putBack(turns, hashed: most)
            } else {
                let count = min(most, Self.loneByteCount)
                unsafe first.digest.stream.update(UnsafeRawBufferPointer(rebasing: first.bytes[..<count]))
                putBack(turns, hashed: count)
            }
        }
    }

    /// Up to two streams that have bytes waiting, for this thread alone. Where none are to be hashed now, the job ends.
    private func take() -> [Turn] {
        state.withLock { state in
            guard isReady(state) else {
                state.jobs -= 1
                return []
            }
            let turns = state.listed.prefix(2).map { Turn($0) }
            state.listed.removeFirst(turns.count)
            return turns
        }
    }

    private func putBack(_ turns: [Turn], hashed count: Int) {
        state.withLock { state in
            state.byteCount -= turns.count * count
            var unfinished: [OrderedDigest] = []
            for turn in turns {
                let digest = turn.digest
                digest.done += count
                if digest.done == digest.waiting[0].range.count {
                    digest.waiting.removeFirst()
                    digest.done = 0
                }
                digest.isListed = !digest.waiting.isEmpty
                if digest.isListed { unfinished.append(digest) }
            }
            state.listed.insert(contentsOf: unfinished, at: 0)
        }
        pool.wake()
    }
}
