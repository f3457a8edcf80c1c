import Dispatch
import Glibc
import Synchronization

/// A loop shared out over the processor's cores. Jobs that come one by one are `WorkPool`'s.
package enum Parallel {
    private static let wanted = Atomic<Int>(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))

    /// Threads used by `forEach`, the same for the life of the process: the number of online processors, or what `use` has said before.
    package static let threads = wanted.load(ordering: .relaxed)

    /// Settles the number of threads.
    /// - Precondition: nobody has used another number.
    package static func use(threads count: Int) {
        precondition(count > 0)
        wanted.store(count, ordering: .relaxed)
        precondition(threads == count, "the number of threads is settled before the first loop")
    }

    /// Calls `body` with disjoint ranges that cover `0 ..< count`, each a multiple of `grain` long but the last.
    ///
    /// The ranges do not depend on the number of threads, so that results do not either; at most 128 of them keep the overhead small.
    package static func forEach(_ count: Int, grain: Int = 1, _ body: @Sendable (Range<Int>) -> Void) {
        forEachWorker(count, grain: grain) { _, range in body(range) }
    }

    /// The same with scratch memory: each thread has `scratchBytes` of unknown content to itself.
    package static func forEach(
        _ count: Int, grain: Int = 1, scratchBytes: Int, _ body: @Sendable (Range<Int>, UnsafeMutableRawPointer) -> Void
    ) throws(MachineError) {
        let bytes = scratchStride(scratchBytes)
        let scratch = try Buffer(byteCount: Self.scratchBytes(count, each: scratchBytes), zeroed: false)
        forEachWorker(count, grain: grain) { worker, range in unsafe body(range, scratch.mutableBytes.baseAddress! + worker * bytes) }
    }

    /// What of that is allocated for a loop over `count`.
    package static func scratchBytes(_ count: Int, each: Int) -> Int { min(threads, max(1, count)) * scratchStride(each) }

    private static func scratchStride(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

    /// The same for a body that is told which of `threads` workers it is, so that each can have memory to itself.
    package static func forEachWorker(_ count: Int, grain: Int = 1, _ body: @Sendable (_ worker: Int, Range<Int>) -> Void) {
        precondition(grain > 0)
        guard count > 0 else { return }
        let grains = (count + grain - 1) / grain
        let chunks = min(grains, 128)
        @Sendable func range(_ chunk: Int) -> Range<Int> {
            min(count, chunk * grains / chunks * grain)..<min(count, (chunk + 1) * grains / chunks * grain)
        }
        let workers = min(threads, chunks)
        guard workers > 1 else {
            for chunk in 0..<chunks { body(0, range(chunk)) }
            return
        }
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            while true {
                let chunk = next.add(1, ordering: .relaxed).oldValue
                guard chunk < chunks else { return }
                body(worker, range(chunk))
            }
        }
    }
}

/// A pointer that the ranges of `Parallel.forEach` write through, each to its own part.
@unsafe package struct SharedPointer<Element>: @unchecked Sendable {
    package let pointer: UnsafeMutablePointer<Element>

    package init(_ pointer: UnsafeMutablePointer<Element>) { unsafe self.pointer = pointer }
    /// For memory that is only read.
    package init(reading pointer: UnsafePointer<Element>) { unsafe self.pointer = UnsafeMutablePointer(mutating: pointer) }
}
