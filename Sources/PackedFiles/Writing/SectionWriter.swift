import Files
import Synchronization
import Tensors

/// Cuts a stream of bytes into frames, compresses them on all cores and appends them to the file in their order.
///
/// What is written depends on the bytes and the element size alone, not on the pieces in which they come nor on the number of threads.
/// Memory: `batch` frames of content and their encoders.
final class SectionWriter {
    /// Frames that are compressed at once.
    private static let batch = 16

    private let output: OutputFile
    private let pending: Buffer
    private let encoders: [FrameEncoder]
    private var pendingCount = 0

    // The section that is being written.
    private var elementByteCount = 1
    private var codec: Codec?
    private var offset: UInt64 = 0
    private var frames: [Section.Frame] = []
    private var digest = SHA256Stream()

    init(_ output: OutputFile) throws(AllocationError) {
        self.output = output
        pending = try Buffer(byteCount: Self.batch * Limits.frameBytes, zeroed: false)
        var encoders: [FrameEncoder] = []
        for _ in 0..<Self.batch { encoders.append(try FrameEncoder()) }
        self.encoders = encoders
    }

    /// Starts a section for elements of so many bytes at the next aligned position.
    func begin(elementByteCount: Int) throws(PackedFileError) {
        do throws(FileError) { try output.pad(to: Limits.alignment) } catch { throw .file(error) }
        self.elementByteCount = elementByteCount
        codec = nil
        offset = output.position
        frames = []
        digest = SHA256Stream()
    }

    @unsafe func append(_ bytes: UnsafeRawBufferPointer) throws(PackedFileError) {
        unsafe digest.update(bytes)
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, pending.byteCount - pendingCount)
            let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            unsafe UnsafeMutableRawBufferPointer(rebasing: pending.mutableBytes[pendingCount...]).copyMemory(from: piece)
            pendingCount += count
            done += count
            if pendingCount == pending.byteCount { try flush() }
        }
    }

    /// Ends the section.
    func end() throws(PackedFileError) -> Section {
        try flush()
        // A section in which no frame gained anything is raw, whatever was tried.
        let isRaw = frames.allSatisfy { $0.storedByteCount == $0.contentByteCount }
        return Section(codec: isRaw ? .raw : codec ?? .raw, offset: offset, frames: frames, sha256: digest.digest())
    }

    private func flush() throws(PackedFileError) {
        let total = pendingCount
        guard total > 0 else { return }
        let count = (total + Limits.frameBytes - 1) / Limits.frameBytes
        let codec = try chooseCodec()
        let pending = pending
        let encoders = encoders
        let encoded = Mutex([EncodedFrame?](repeating: nil, count: count))
        let failure = Mutex<AllocationError?>(nil)
        Parallel.forEach(count) { indices in
            for index in indices {
                let content = unsafe UnsafeRawBufferPointer(
                    rebasing: pending.bytes[index * Limits.frameBytes..<min(total, (index + 1) * Limits.frameBytes)])
                do throws(AllocationError) {
                    let frame = unsafe try EncodedFrame(encoders[index].encode(content, codec), contentByteCount: content.count)
                    encoded.withLock { $0[index] = frame }
                } catch { failure.withLock { $0 = error } }
            }
        }
        if let error = failure.withLock({ $0 }) { throw .memory(error) }
        for case .some(let frame) in encoded.withLock({ $0 }) {
            do throws(FileError) { unsafe try output.write(frame.stored) } catch { throw .file(error) }
            frames.append(frame.entry)
        }
        pendingCount = 0
    }

    /// The codec of the section: zstd, or for 16-bit elements what makes its first frame the smallest.
    private func chooseCodec() throws(PackedFileError) -> Codec {
        if let codec { return codec }
        var best = Codec.zstd
        if elementByteCount == 2 {
            let first = unsafe UnsafeRawBufferPointer(rebasing: pending.bytes[..<min(pendingCount, Limits.frameBytes)])
            do throws(AllocationError) {
                let whole = unsafe try encoders[0].encode(first, .zstd).count
                let split = unsafe try encoders[0].encode(first, .zstdSplit16).count
                if split < whole { best = .zstdSplit16 }
            } catch { throw .memory(error) }
        }
        codec = best
        return best
    }
}

/// The stored bytes of a frame, which live in the encoder or in the content, and its entry.
@safe private struct EncodedFrame: @unchecked Sendable {  // read by the thread that writes, after those that compress
    @unsafe let stored: UnsafeRawBufferPointer
    let entry: Section.Frame

    init(_ stored: UnsafeRawBufferPointer, contentByteCount: Int) {
        unsafe self.stored = stored
        entry = unsafe Section.Frame(storedByteCount: stored.count, contentByteCount: contentByteCount, checksum: XXH3.hash(stored))
    }
}
