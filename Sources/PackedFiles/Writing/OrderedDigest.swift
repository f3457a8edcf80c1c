import Synchronization
package import Tensors

/// SHA-256 of bytes that come in order: one stream of many that the threads of a pool hash when they are free, two at once where two have
/// bytes waiting.
@safe package final class OrderedDigest: @unchecked Sendable {  // guarded by the mutex of `HashingStreams`, the stream by who has taken it
    private let streams: HashingStreams
    fileprivate var stream = StreamDigest()
    fileprivate var waiting: [Part] = []
    /// Bytes of the first part that are hashed.
    fileprivate var done = 0
    /// Whether it stands in the list of those that have bytes waiting, or a thread has taken it from there.
    fileprivate var isListed = false
    /// The last part that came; with it all are done.
    fileprivate var last: Pending<Void>?

    fileprivate struct Part {
        let buffer: Buffer
        let range: Range<Int>
        let hashed: Pending<Void>
    }

    package init(_ streams: HashingStreams) { self.streams = streams }

    /// Adds the bytes of a part of a buffer, which stay as they are until the result is there.
    @discardableResult package func append(_ buffer: Buffer, _ range: Range<Int>) -> Pending<Void> {
        let part = Part(buffer: buffer, range: range, hashed: Pending(streams.pool))
        streams.add(part, to: self)
        return part.hashed
    }

    /// The digest of all that was added.
    package func digest() -> String {
        streams.last(of: self)?.wait()
        return streams.digest(of: self)
    }
}

/// The streams that are hashed together.
package final class HashingStreams: Sendable {
    fileprivate let pool: WorkPool
    private let state = Mutex(State())
    private let mostJobs: Int

    /// Bytes of a lone stream that are hashed before another one is looked for.
    private static let loneByteCount = 128 << 10

    private struct State {
        /// Those that have bytes waiting, but for the ones that a thread has taken.
        var listed: [OrderedDigest] = []
        /// Jobs that are queued or at work.
        var jobs = 0
    }

    package init(_ pool: WorkPool) {
        self.pool = pool
        // A job hashes two streams in little more time than one: half the threads do as much as all would.
        mostJobs = max(1, pool.threads / 2)
    }

    fileprivate func add(_ part: OrderedDigest.Part, to stream: OrderedDigest) {
        let needsJob = state.withLock { state in
            stream.waiting.append(part)
            stream.last = part.hashed
            if !stream.isListed {
                stream.isListed = true
                state.listed.append(stream)
            }
            guard state.jobs < mostJobs else { return false }
            state.jobs += 1
            return true
        }
        if needsJob { pool.submit(detached: work) }
    }

    fileprivate func last(of stream: OrderedDigest) -> Pending<Void>? { state.withLock { _ in stream.last } }

    fileprivate func digest(of stream: OrderedDigest) -> String { state.withLock { _ in stream.stream.digest() } }

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

    /// Hashes until nothing waits.
    @Sendable private func work() {
        while true {
            let turns = take()
            guard let first = turns.first else { return }
            let most = turns.map { unsafe $0.bytes.count }.min() ?? 0
            if turns.count == 2 {
                let second = turns[1]
                unsafe StreamDigest.update(
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

    /// Up to two streams that have bytes waiting, for this thread alone. Where there are none, the job ends.
    private func take() -> [Turn] {
        state.withLock { state in
            if state.listed.isEmpty { state.jobs -= 1 }
            let turns = state.listed.prefix(2).map { Turn($0) }
            state.listed.removeFirst(turns.count)
            return turns
        }
    }

    private func putBack(_ turns: [Turn], hashed count: Int) {
        let complete = state.withLock { state in
            var complete: [Pending<Void>] = []
            var unfinished: [OrderedDigest] = []
            for turn in turns {
                let digest = turn.digest
                digest.done += count
                if digest.done == digest.waiting[0].range.count {
                    complete.append(digest.waiting.removeFirst().hashed)
                    digest.done = 0
                }
                digest.isListed = !digest.waiting.isEmpty
                if digest.isListed { unfinished.append(digest) }
            }
            state.listed.insert(contentsOf: unfinished, at: 0)
            return complete
        }
        for part in complete { part.complete(()) }
    }
}
