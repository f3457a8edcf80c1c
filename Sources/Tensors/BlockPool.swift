import Synchronization

/// Blocks of memory that are used again: for buffers that come and go in a stream, whose pages the system would clear anew each time, and whose
/// different sizes would leave holes in the heap.
///
/// Sizes are powers of two from 64 KiB on. What is idle beyond the limit is given back to the system.
@safe package final class BlockPool: Sendable {
    private let idle = Mutex(Idle())
    /// Bytes that may be idle.
    package let limit: Int

    private struct Idle: Sendable {
        var blocks: [MemoryBlock] = []
        var byteCount = 0
    }

    /// - Parameter limit: bytes that may be idle.
    package init(limit: Int) { self.limit = limit }

    deinit { drain() }

    /// Gives what is idle back to the system.
    package func drain() {
        let blocks = idle.withLock { idle -> [MemoryBlock] in
            defer { idle = Idle() }
            return idle.blocks
        }
        for block in blocks { Memory.free(block) }
    }

    /// The size of the block for so many bytes.
    package static func blockByteCount(_ byteCount: Int) -> Int {
        var size = 64 << 10
        while size < byteCount { size *= 2 }
        return size
    }

    /// A block of at least so many bytes.
    func take(_ byteCount: Int) throws(AllocationError) -> MemoryBlock {
        let size = Self.blockByteCount(byteCount)
        let block = idle.withLock { idle -> MemoryBlock? in
            guard let index = idle.blocks.lastIndex(where: { $0.byteCount >= size && $0.byteCount < 2 * size }) else { return nil }
            // As much as `giveBack` added: the block may be larger than was asked for.
            idle.byteCount -= idle.blocks[index].byteCount
            return idle.blocks.remove(at: index)
        }
        if let block { return block }
        return try Memory.allocate(size)
    }

    /// Takes a block back.
    func giveBack(_ block: MemoryBlock) {
        let size = block.byteCount
        let isKept = idle.withLock { idle in
            guard idle.byteCount + size <= limit else { return false }
            idle.blocks.append(block)
            idle.byteCount += size
            return true
        }
        if !isKept { Memory.free(block) }
    }
}
