import Glibc
import Synchronization

/// An allocation that the system, or the limit the user set, refused.
package enum AllocationError: Error, Sendable, Equatable, CustomStringConvertible {
    case refused(byteCount: Int, inUse: Int)

    package var description: String {
        switch self {
        case .refused(let byteCount, let inUse):
            "out of memory: \(byteCount) bytes more were refused with \(inUse) bytes in use; allow more memory or use a smaller picture or preset"
        }
    }
}

/// The one source of large buffers: counts what is in use, and fails with an error instead of ending the process.
package enum Memory {
    private static let used = Atomic<Int>(0)
    private static let highest = Atomic<Int>(0)
    private static let bound = Atomic<Int>(.max)

    /// Bytes in use by buffers of this allocator.
    package static var inUse: Int { used.load(ordering: .relaxed) }
    /// The most bytes that were ever in use at once.
    package static var peak: Int { highest.load(ordering: .relaxed) }

    /// The most that was ever resident of the process, everything counted; nil where the system does not say.
    ///
    /// Not `getrusage`, which counts what the process was before it became this program.
    package static var peakResident: Int? {
        guard let file = unsafe fopen("/proc/self/status", "r") else { return nil }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while unsafe fgets(&line, Int32(line.count), file) != nil {
            let text = unsafe line.withUnsafeBufferPointer { unsafe $0.baseAddress.map { unsafe String(cString: $0) } ?? "" }
            if text.hasPrefix("VmHWM:") { return Int(text.filter(\.isNumber)).map { $0 * 1024 } }
        }
        return nil
    }

    /// Begins a new peak: gives the one so far and starts from what is in use.
    package static func restartPeak() -> Int { highest.exchange(inUse, ordering: .relaxed) }

    /// The most bytes that may be in use; what goes beyond is refused.
    package static var limit: Int {
        get { bound.load(ordering: .relaxed) }
        set { bound.store(newValue, ordering: .relaxed) }
    }

    /// Cache lines and the widest vectors are 64 bytes.
    static let alignment = 64
    /// From here on memory is asked for in huge pages: fresh tensors of that size otherwise cost more in page faults than in arithmetic.
    private static let hugeBytes = 4 << 20
    private static let hugePage = 2 << 20

    /// Throws where the system would not give so many bytes in one piece now. Nothing is kept.
    package static func check(available byteCount: Int) throws(AllocationError) {
        guard byteCount > 0 else { return }
        let place = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard byteCount <= limit - inUse, let place = unsafe place, unsafe place != MAP_FAILED else { throw .refused(byteCount: byteCount, inUse: inUse) }
        unsafe munmap(place, byteCount)
    }

    @unsafe static func allocate(_ byteCount: Int) throws(AllocationError) -> UnsafeMutableRawPointer {
        if let idle = Idle.take(byteCount) { return unsafe idle.address }
        if let fresh = unsafe reserve(byteCount) { return unsafe fresh }
        // What is kept for the next use may be what is missing.
        if Idle.release(), let fresh = unsafe reserve(byteCount) { return unsafe fresh }
        throw .refused(byteCount: byteCount, inUse: inUse)
    }

    @unsafe private static func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let (_, total) = used.add(byteCount, ordering: .relaxed)
        var pointer: UnsafeMutableRawPointer?
        let isHuge = byteCount >= hugeBytes
        let alignment = isHuge ? hugePage : alignment
        guard total <= limit, unsafe posix_memalign(&pointer, alignment, max(byteCount, alignment)) == 0, let pointer = unsafe pointer else {
            used.subtract(byteCount, ordering: .relaxed)
            return nil
        }
        _ = highest.max(total, ordering: .relaxed)
        // Advice only: where the system has no huge pages, nothing is lost.
        if isHuge { unsafe madvise(pointer, byteCount / hugePage * hugePage, MADV_HUGEPAGE) }
        return unsafe pointer
    }

    @unsafe static func free(_ pointer: UnsafeMutableRawPointer, byteCount: Int) {
        if unsafe Idle.keep(IdleBlock(pointer, byteCount)) { return }
        unsafe Glibc.free(pointer)
        used.subtract(byteCount, ordering: .relaxed)
    }

    /// Runs `body` and keeps the blocks that are freed meanwhile, by whomever, for buffers of the same size; at the end they go back to the system.
    ///
    /// For loops whose buffers have the same sizes in every turn: the system would take back and clear their pages each time, which costs more
    /// than filling them. Blocks that are kept count as in use, and make way where memory runs short.
    package static func recycling<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        Idle.begin()
        defer { Idle.end() }
        return try body()
    }

    /// A block that nobody uses at the moment.
    @safe fileprivate struct IdleBlock: @unchecked Sendable {
        @unsafe let address: UnsafeMutableRawPointer
        let byteCount: Int

        init(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
            unsafe self.address = unsafe address
            self.byteCount = byteCount
        }
    }

    /// The blocks kept by `recycling`.
    private enum Idle {
        private struct State: Sendable {
            var scopes = 0
            var blocks: [IdleBlock] = []
        }
        private static let state = Mutex(State())
        /// The C library keeps smaller blocks itself.
        private static let leastBytes = 64 << 10

        static func begin() { state.withLock { $0.scopes += 1 } }

        static func end() {
            if state.withLock({ state in
                state.scopes -= 1
                return state.scopes == 0
            }) {
                release()
            }
        }

        static func take(_ byteCount: Int) -> IdleBlock? {
            guard byteCount >= leastBytes else { return nil }
            return state.withLock { state in
                state.blocks.lastIndex { $0.byteCount == byteCount }.map { state.blocks.remove(at: $0) }
            }
        }

        /// Takes a block back; false where it is not to be kept.
        static func keep(_ block: IdleBlock) -> Bool {
            guard block.byteCount >= leastBytes else { return false }
            return state.withLock { state in
                guard state.scopes > 0 else { return false }
                state.blocks.append(block)
                return true
            }
        }

        /// Gives all blocks back to the system; false where there are none.
        @discardableResult static func release() -> Bool {
            let blocks = state.withLock { state in
                let blocks = state.blocks
                state.blocks = []
                return blocks
            }
            for block in blocks {
                unsafe Glibc.free(block.address)
                used.subtract(block.byteCount, ordering: .relaxed)
            }
            return !blocks.isEmpty
        }
    }
}
