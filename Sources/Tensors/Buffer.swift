/// A 64-byte aligned block of memory with shared ownership.
///
/// Sharing is for reading: what writes asks for a unique owner first (`Tensor`), or has just made the buffer.
@safe package final class Buffer: @unchecked Sendable {  // read by many threads, written by its one owner or through `Parallel`
    package let byteCount: Int
    private let block: MemoryBlock
    /// Where the block goes back to.
    private let pool: BlockPool?

    /// A block of `byteCount` bytes, zero where `zeroed`, else of unknown content.
    package init(byteCount: Int, zeroed: Bool = true) throws(AllocationError) {
        precondition(byteCount >= 0)
        block = try Memory.allocate(byteCount)
        self.byteCount = byteCount
        pool = nil
        if zeroed { unsafe block.address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
    }

    /// A block of unknown content out of a pool, or of its own where there is none.
    package init(byteCount: Int, from pool: BlockPool?) throws(AllocationError) {
        precondition(byteCount >= 0)
        if let pool { block = try pool.take(byteCount) } else { block = try Memory.allocate(byteCount) }
        self.byteCount = byteCount
        self.pool = pool
    }

    /// Ends the process: a tensor that shares its buffer was written, which is a bug of the caller.
    @inline(never) static func refuseSharedWrite() -> Buffer { preconditionFailure("a shared tensor is written") }

    deinit {
        if let pool { pool.giveBack(block) } else { Memory.free(block) }
    }

    /// The bytes; valid while the buffer lives.
    @unsafe package var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: block.address, count: byteCount) }
    /// The bytes, to write; valid while the buffer lives. The caller sees to it that nobody else reads or writes them.
    @unsafe package var mutableBytes: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: block.address, count: byteCount) }
}
