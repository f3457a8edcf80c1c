import Files
import Tensors

/// The bytes of a packed file on their way to the disk: gathered to blocks, which a thread of its own writes while later ones are made.
///
/// Full blocks pass by the system's cache of pages. There a file of gigabytes would take the place of what others use, each page found and filled
/// by the threads that have to convert, and the disk would get it at the final sync, when nothing else is left to do. What comes after `flush`
/// takes the usual way, as do files smaller than a block.
final class OutputStream {
    private let file: OutputFile
    /// Bytes so far, which is where the next one goes.
    private(set) var position: UInt64 = 0
    private let writer: WorkPool
    private var isFlushed = false

    /// The block that is being filled, and how many bytes it has.
    private var block: Buffer?
    private var filled = 0
    private var written: [(block: Buffer, failure: Pending<FileError?>)] = []
    private var idle: [Buffer] = []

    static let blockByteCount = 512 * OutputDescriptor.uncachedAlignment
    /// One is filled, one is written, and two even out the disk's pace.
    private static let blocks = 4
    static let byteCount = blocks * blockByteCount

    /// - Parameter file: a new file, to which nobody else appends.
    init(_ file: OutputFile) {
        self.file = file
        // This thread, where it waits, and one that is asleep until a block is full.
        writer = WorkPool(threads: 2)
    }

    /// Appends bytes. That an earlier block could not be written may come out here, or in `flush`.
    @unsafe func write(_ bytes: UnsafeRawBufferPointer) throws(PackedFileError) {
        defer { position += UInt64(bytes.count) }
        guard !isFlushed else {
            try wrapping(PackedFileError.file, unsafe try file.descriptor.write(bytes, at: position))
            return
        }
        var done = 0
        while done < bytes.count {
            let block = if let block = self.block { block } else { try nextBlock() }
            self.block = block
            let count = min(bytes.count - done, Self.blockByteCount - filled)
            unsafe UnsafeMutableRawBufferPointer(rebasing: block.mutableBytes[filled...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
            filled += count
            done += count
            if filled == Self.blockByteCount { send(block, endingAt: position + UInt64(done)) }
        }
    }

    func write(_ bytes: [UInt8]) throws(PackedFileError) {
        var failure: PackedFileError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(PackedFileError) { unsafe try write(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Appends zeros up to the next multiple of `alignment`.
    func pad(to alignment: UInt64) throws(PackedFileError) {
        let rest = position % alignment
        if rest > 0 { try write([UInt8](repeating: 0, count: Int(alignment - rest))) }
    }

    /// Has all bytes so far in the file, where they can be read.
    func flush() throws(PackedFileError) {
        guard !isFlushed else { return }
        isFlushed = true
        while !written.isEmpty { try takeWritten() }
        idle = []
        file.descriptor.passByCache(false)
        guard let block else { return }
        self.block = nil
        let rest = unsafe UnsafeRawBufferPointer(rebasing: block.bytes[..<filled])
        try wrapping(PackedFileError.file, unsafe try file.descriptor.write(rest, at: position - UInt64(filled)))
    }

    private func send(_ full: Buffer, endingAt end: UInt64) {
        // Once: a file system that refuses it is not asked again.
        if end == UInt64(Self.blockByteCount) { file.descriptor.passByCache(true) }
        let failure = writer.submit { [descriptor = file.descriptor] () -> FileError? in
            do throws(FileError) { unsafe try descriptor.write(full.bytes, at: end - UInt64(Self.blockByteCount)) } catch { return error }
            return nil
        }
        written.append((full, failure))
        block = nil
        filled = 0
    }

    private func nextBlock() throws(PackedFileError) -> Buffer {
        if written.count == Self.blocks - 1 { try takeWritten() }
        if let block = idle.popLast() { return block }
        return try wrapping(PackedFileError.machine, try Buffer(byteCount: Self.blockByteCount, zeroed: false))
    }

    /// Waits for the oldest block.
    private func takeWritten() throws(PackedFileError) {
        let (block, failure) = written.removeFirst()
        if let failure = failure.wait() { throw .file(failure) }
        idle.append(block)
    }
}
