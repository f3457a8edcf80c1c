import Glibc

/// Threads for work whose results are wanted later: the stages of a pipeline.
///
/// The thread that waits for a result works too, so that `threads` of them run in all and a pool of one has none of its own. Where the system
/// gives fewer threads than asked for, fewer do the work. Work must not wait for other work: only the owner of the pool waits.
@safe package final class WorkPool: @unchecked Sendable {  // all that changes is guarded by the mutex
    package typealias Work = @Sendable () -> Void

    /// What the pool's threads share. It outlives the pool by the moment in which they end.
    @safe fileprivate final class Shared: @unchecked Sendable {
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        private var queue: [Work] = []
        /// Index of the next work in `queue`; what is before it is done.
        private var next = 0
        private var isClosed = false

        init() {
            unsafe pthread_mutex_init(mutex, nil)
            unsafe pthread_cond_init(changed, nil)
        }

        deinit {
            unsafe pthread_mutex_destroy(mutex)
            unsafe pthread_cond_destroy(changed)
            unsafe mutex.deallocate()
            unsafe changed.deallocate()
        }

        func add(_ work: @escaping Work, urgent: Bool = false) {
            locked {
                if !urgent {
                    queue.append(work)
                } else if next > 0 {
                    next -= 1
                    queue[next] = work
                } else {
                    queue.insert(work, at: 0)
                }
            }
        }

        func close() {
            locked {
                isClosed = true
                queue = []
                next = 0
            }
        }

        /// Runs `body` under the mutex and wakes who waits for a change.
        func locked(_ body: () -> Void) {
            unsafe pthread_mutex_lock(mutex)
            body()
            unsafe pthread_cond_broadcast(changed)
            unsafe pthread_mutex_unlock(mutex)
        }

        /// Does work from the queue, and sleeps where there is none, until `isDone`, which is asked under the mutex.
        func work(until isDone: () -> Bool) {
            unsafe pthread_mutex_lock(mutex)
            while !isDone() {
                guard let work = take() else {
                    unsafe pthread_cond_wait(changed, mutex)
                    continue
                }
                unsafe pthread_mutex_unlock(mutex)
                work()
                unsafe pthread_mutex_lock(mutex)
            }
            unsafe pthread_mutex_unlock(mutex)
        }

        func workUntilClosed() { work { isClosed } }

        private func take() -> Work? {
            guard next < queue.count else { return nil }
            let work = queue[next]
            // What the work holds is let go with it, not when the list is shortened.
            queue[next] = {}
            next += 1
            if 2 * next >= queue.count {
                queue.removeFirst(next)
                next = 0
            }
            return work
        }
    }

    fileprivate let shared = Shared()
    package let threads: Int
    private var others: [pthread_t] = []

    /// - Parameter threads: how many threads work at once, the waiting one included.
    package init(threads: Int = Parallel.threads) {
        precondition(threads > 0)
        self.threads = threads
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        // The default of 8 MiB counts against limits of the address space; kernels and codecs need a fraction of this.
        unsafe pthread_attr_setstacksize(&attributes, 1 << 20)
        for _ in 1..<threads {
            var thread = pthread_t()
            let context = unsafe Unmanaged.passRetained(shared)
            let code = unsafe pthread_create(
                &thread, &attributes,
                { context in
                    guard let context = unsafe context else { return nil }
                    unsafe Unmanaged<Shared>.fromOpaque(context).takeRetainedValue().workUntilClosed()
                    return nil
                }, context.toOpaque())
            guard code == 0 else {
                unsafe context.release()
                break
            }
            others.append(thread)
        }
        unsafe pthread_attr_destroy(&attributes)
    }

    /// Ends the threads when what they are at is done; what is queued is dropped.
    deinit {
        shared.close()
        for thread in others { pthread_join(thread, nil) }
    }

    /// Queues work and gives its result to come.
    /// - Parameter urgent: whether it is done before all that is queued.
    package func submit<Value: Sendable>(urgent: Bool = false, _ work: @escaping @Sendable () -> Value) -> Pending<Value> {
        let pending = Pending<Value>(self)
        shared.add({ [pending] in pending.complete(work()) }, urgent: urgent)
        return pending
    }

    /// Works until `isDone`, which is asked again whenever a result is there or `wake` was called. For the pool's owner.
    package func work(until isDone: () -> Bool) { shared.work(until: isDone) }

    /// Has those who wait ask again.
    package func wake() { shared.locked {} }

    /// Queues work nobody waits for.
    package func submit(detached work: @escaping Work) { shared.add(work) }
}

/// A result that a `WorkPool` is going to have.
@safe package final class Pending<Value: Sendable>: @unchecked Sendable {  // `value` is guarded by the pool's mutex
    private let shared: WorkPool.Shared
    private var value: Value?

    fileprivate init(_ pool: WorkPool) { shared = pool.shared }

    fileprivate func complete(_ value: Value) {
        shared.locked { self.value = value }
    }

    /// The result, as soon as it is there; meanwhile this thread does other work of the pool.
    package func wait() -> Value {
        shared.work { value != nil }
        guard let value else { preconditionFailure("a result that was waited for is not there") }
        return value
    }
}
