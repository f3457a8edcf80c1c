/// A 64-byte aligned block of memory with shared ownership.
///
/// Sharing is for reading: what writes asks for a unique owner first (`Tensor`), or has just made the buffer.
@safe package final class Buffer: @unchecked Sendable {  // read by many threads, written by its one owner or through `Parallel`
    package let byteCount: Int
    private let block: MemoryBlock

    /// A block of `byteCount` bytes, zero where `zeroed`, else of unknown content.
    package init(byteCount: Int, zeroed: Bool = true) throws(MachineError) {
        precondition(byteCount >= 0)
        block = try Memory.allocate(byteCount)
        self.byteCount = byteCount
        if zeroed { unsafe block.address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
    }

    /// Ends the process: a tensor that shares its buffer was written, which is a bug of the caller.
    @inline(never) static func refuseSharedWrite() -> Buffer { preconditionFailure("a shared tensor is written") }

    deinit { Memory.free(block) }

    /// The bytes; valid while the buffer lives.
    @unsafe package var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: block.address, count: byteCount) }
    /// The bytes, to write; valid while the buffer lives. The caller sees to it that nobody else reads or writes them.
    @unsafe package var mutableBytes: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: block.address, count: byteCount) }
}
