import Glibc
import Synchronization

/// What the machine that computes refused: an allocation, by the system or by the limit that the user set; or, of a device, anything.
package enum MachineError: Error, Sendable, Equatable, CustomStringConvertible {
    case refused(byteCount: Int, inUse: Int)
    /// More than the machine or the container has.
    case unavailable(byteCount: Int, available: Int, owner: String)
    /// In the words of the device's own room.
    case device(String)
    /// A layer's weight or inputs that float16 was to hold.
    case beyondFloat16(String)

    package var description: String {
        switch self {
        case .refused(let byteCount, let inUse):
            "out of memory: \(byteCount) bytes more were refused with \(inUse) bytes in use; allow the process more memory, or ask less of it"
        case .unavailable(let byteCount, let available, let owner):
            "out of memory: expected \(byteCount) bytes for this work, found \(available) left by \(owner); "
                + "raise that limit, end other programs, or ask less of it"
        case .device(let reason): reason
        case .beyondFloat16(let subject):
            "\(subject) cannot be rounded to float16: expected numbers up to 65504, found a larger one or none; compute in bf16 or fp32"
        }
    }
}

/// The one source of large buffers: counts what is in use, and fails with an error instead of ending the process.
///
/// What buffers leave behind is kept for the next ones, divided and joined as these want it: the pages of fresh memory, which the system finds and
/// clears one by one, cost more than the arithmetic that fills them. Kept blocks never raise the peak: with what is in use they stay below the most
/// that was ever in use at once, and they make way where memory runs short.
package enum Memory {
    private static let used = Atomic<Int>(0)
    private static let highest = Atomic<Int>(0)
    /// The highest peak of all.
    private static let ceiling = Atomic<Int>(0)
    private static let bound = Atomic<Int>(.max)
    private static let idle = Mutex(IdleBlocks())

    /// Bytes in use by buffers of this allocator.
    package static var inUse: Int { used.load(ordering: .relaxed) }
    /// The most bytes that were in use at once since the peak was restarted.
    package static var peak: Int { highest.load(ordering: .relaxed) }
    /// Bytes that are kept for buffers to come.
    static var kept: Int { idle.withLock { $0.byteCount } }

    /// The most that was ever resident of the process, everything counted; nil where the system does not say.
    ///
    /// Not `getrusage`, which counts what the process was before it became this program.
    package static var peakResident: Int? { AvailableMemory.fields("/proc/self/status")["VmHWM"].map { 1024 * $0 } }

    /// Begins a new peak: gives the one so far and starts from what is in use.
    package static func restartPeak() -> Int { highest.exchange(inUse, ordering: .relaxed) }

    /// The most bytes that may be in use; what goes beyond is refused.
    static var limit: Int { bound.load(ordering: .relaxed) }

    /// Sets the limit, for the life of the process.
    /// - Precondition: there is none yet.
    package static func allow(_ byteCount: Int) {
        precondition(bound.compareExchange(expected: .max, desired: byteCount, ordering: .relaxed).exchanged, "the limit is set once")
    }

    /// Throws where the system would not give so many bytes in one piece now, or where the process would be ended for taking them. Nothing is kept.
    /// - Parameter byteCount: what the whole process is going to take.
    package static func check(available byteCount: Int) throws(MachineError) {
        guard byteCount > 0 else { return }
        if let memory = AvailableMemory.now(), byteCount > memory.byteCount {
            throw .unavailable(byteCount: byteCount, available: memory.byteCount, owner: memory.owner)
        }
        trim(to: 0)
        guard byteCount <= limit - inUse, let size = MemoryBlock.size(for: byteCount), let block = MemoryBlock(fresh: size) else {
            throw .refused(byteCount: byteCount, inUse: inUse)
        }
        block.release()
    }

    /// Lets all threads share one heap of the C library for what is small. Each thread's own would take 64 MiB of the address space that
    /// `ulimit -v` bounds. Advice only: another C library may not know of it.
    package static func useOneHeap() {
        typealias Option = @convention(c) (Int32, Int32) -> Int32
        let arenaMax: Int32 = -8  // M_ARENA_MAX of glibc's malloc.h, which Swift's module of it leaves out
        guard let mallopt = unsafe dlsym(nil, "mallopt") else { return }
        _ = unsafe unsafeBitCast(mallopt, to: Option.self)(arenaMax, 1)
    }

    /// Bytes of a buffer of at least so many, as they are counted.
    package static func byteCount(of bytes: Int) -> Int { MemoryBlock.size(for: bytes) ?? bytes }

    /// What buffers that are there together may have been given beyond that: blocks that are used again, with rests too small to divide. Measured, in
    /// stages of models after one another; the most was five rests. (Dividing to the page leaves none, and keeps more of what is idle resident.)
    package static let restBytes = 8 * MemoryBlock.leastMapped

    /// A block of at least so many bytes, aligned to cache lines.
    static func allocate(_ byteCount: Int) throws(MachineError) -> MemoryBlock {
        guard reserve(byteCount) else { throw .refused(byteCount: byteCount, inUse: inUse) }
        guard let block = idle.withLock({ $0.take(byteCount) }) ?? fresh(byteCount) else {
            let rest = used.subtract(byteCount, ordering: .relaxed).newValue
            throw .refused(byteCount: byteCount, inUse: rest)
        }
        let total = used.add(block.byteCount - byteCount, ordering: .relaxed).newValue
        _ = highest.max(total, ordering: .relaxed)
        _ = ceiling.max(total, ordering: .relaxed)
        return block
    }

    /// Counts bytes as in use before anybody has them: two threads never pass the limit together.
    private static func reserve(_ byteCount: Int) -> Bool {
        var (isDone, current) = (false, used.load(ordering: .relaxed))
        while !isDone {
            guard byteCount <= limit - current else { return false }
            (isDone, current) = used.weakCompareExchange(expected: current, desired: current + byteCount, ordering: .relaxed)
        }
        return true
    }

    /// A block of bytes that are reserved already.
    private static func fresh(_ byteCount: Int) -> MemoryBlock? {
        guard let size = MemoryBlock.size(for: byteCount) else { return nil }
        trim(to: min(ceiling.load(ordering: .relaxed), limit) - inUse - (size - byteCount))
        if let block = MemoryBlock(fresh: size) { return block }
        // What is kept may be what is missing.
        trim(to: 0)
        return MemoryBlock(fresh: size)
    }

    static func free(_ block: MemoryBlock) {
        used.subtract(block.byteCount, ordering: .relaxed)
        guard block.isMapped else { return block.release() }
        idle.withLock { $0.add(block) }
    }

    /// Gives kept blocks back to the system until at most so many bytes are left.
    private static func trim(to byteCount: Int) {
        for block in idle.withLock({ $0.trim(to: byteCount) }) { block.release() }
    }
}
