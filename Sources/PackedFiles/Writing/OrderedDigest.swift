import Files
import Synchronization
package import Tensors

/// SHA-256 of bytes that come in order, computed by whichever thread of a pool is free: one stream of many that are hashed at once.
package final class OrderedDigest: Sendable {
    private let pool: WorkPool
    private let state = Mutex(State())

    private struct State {
        /// Nil while a thread is at work on it.
        var stream: SHA256Stream? = SHA256Stream()
        var waiting: [Part] = []
        /// The last part that came; with it all are done.
        var last: Pending<Void>?
    }

    private struct Part {
        let buffer: Buffer
        let range: Range<Int>
        let done: Pending<Void>
    }

    package init(_ pool: WorkPool) { self.pool = pool }

    /// Adds the bytes of a part of a buffer, which stay as they are until the result is there.
    @discardableResult package func append(_ buffer: Buffer, _ range: Range<Int>) -> Pending<Void> {
        let part = Part(buffer: buffer, range: range, done: Pending(pool))
        let isIdle = state.withLock { state in
            state.waiting.append(part)
            state.last = part.done
            return state.stream != nil && state.waiting.count == 1
        }
        if isIdle { pool.submit(detached: hashWaiting) }
        return part.done
    }

    /// The digest of all that was added.
    package func digest() -> String {
        state.withLock { $0.last }?.wait()
        return state.withLock { $0.stream?.digest() ?? "" }
    }

    /// Hashes what waits, also what comes meanwhile: one thread at a time keeps the order.
    @Sendable private func hashWaiting() {
        while true {
            let (taken, parts) = state.withLock { state in
                let work = (state.stream, state.waiting)
                state.stream = nil
                state.waiting = []
                return work
            }
            guard var stream = taken else { preconditionFailure("two threads hash one stream") }
            for part in parts { unsafe stream.update(UnsafeRawBufferPointer(rebasing: part.buffer.bytes[part.range])) }
            let isDone = state.withLock { state in
                state.stream = stream
                return state.waiting.isEmpty
            }
            for part in parts { part.done.complete(()) }
            if isDone { return }
        }
    }
}
