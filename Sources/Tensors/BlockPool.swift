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
        var blocks: [Block] = []
        var byteCount = 0
    }

    /// Memory that nobody uses.
    @safe private struct Block: @unchecked Sendable {
        @unsafe let address: UnsafeMutableRawPointer
        let byteCount: Int

        init(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
            unsafe self.address = unsafe address
            self.byteCount = byteCount
        }
    }

    /// - Parameter limit: bytes that may be idle.
    package init(limit: Int) { self.limit = limit }

    deinit { drain() }

    /// Gives what is idle back to the system.
    package func drain() {
        let blocks = idle.withLock { idle -> [Block] in
            defer { idle = Idle() }
            return idle.blocks
        }
        for block in blocks { unsafe Memory.free(block.address, byteCount: block.byteCount) }
    }

    /// The size of the block for so many bytes.
    package static func blockByteCount(_ byteCount: Int) -> Int {
        var size = 64 << 10
        while size < byteCount { size *= 2 }
        return size
    }

    /// A block of at least so many bytes.
    @unsafe func take(_ byteCount: Int) throws(AllocationError) -> UnsafeMutableRawPointer {
        let size = Self.blockByteCount(byteCount)
        let block = idle.withLock { idle -> Block? in
            guard let index = idle.blocks.lastIndex(where: { $0.byteCount == size }) else { return nil }
            idle.byteCount -= size
            return idle.blocks.remove(at: index)
        }
        if let block { return unsafe block.address }
        return unsafe try Memory.allocate(size)
    }

    /// Takes a block back.
    @unsafe func giveBack(_ address: UnsafeMutableRawPointer, byteCount: Int) {
        let size = Self.blockByteCount(byteCount)
        let block = unsafe Block(address, size)
        let isKept = idle.withLock { idle in
            guard idle.byteCount + size <= limit else { return false }
            idle.blocks.append(block)
            idle.byteCount += size
            return true
        }
        if !isKept { unsafe Memory.free(address, byteCount: size) }
    }
}
