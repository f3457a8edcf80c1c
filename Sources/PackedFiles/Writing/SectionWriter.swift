import Files
import Tensors

/// Cuts streams of bytes into frames, and appends them to the file in their order after a pool's threads have compressed and hashed them.
///
/// What is written depends on the bytes and the element sizes alone, not on the pieces in which they come nor on the number of threads. The
/// caller runs ahead of the file by at most `slots` frames.
final class SectionWriter {
    private let output: OutputFile
    private let pool: WorkPool
    private let streams: HashingStreams
    private let mostSlots: Int
    private var slotCount = 0
    private var freeSlots: [FrameSlot] = []

    /// What the file has still to get, in order. Offsets are known only when it is written.
    private var queue: [Item] = []
    private enum Item {
        case begin
        case frame(FrameSlot, encoded: Pending<Result<EncodedFrame, AllocationError>>, hashed: Pending<Void>)
        case end(Codec, OrderedDigest, (Section) throws(PackedFileError) -> Void)
    }

    // The section that is being filled.
    private var elementByteCount = 1
    private var kind = ZstdCompressor.Kind.weights
    private var codec: Codec?
    private var digest: OrderedDigest
    private var open: (slot: FrameSlot, count: Int)?

    // The section that is being written.
    private var offset: UInt64 = 0
    private var frames: [Section.Frame] = []

    init(_ output: OutputFile, _ pool: WorkPool, _ streams: HashingStreams, slots: Int) {
        self.output = output
        self.pool = pool
        mostSlots = max(1, slots)
        self.streams = streams
        digest = OrderedDigest(streams)
    }

    /// Starts a section for elements of so many bytes at the next aligned position.
    func begin(elementByteCount: Int, _ kind: ZstdCompressor.Kind) {
        self.elementByteCount = elementByteCount
        self.kind = kind
        codec = nil
        digest = OrderedDigest(streams)
        queue.append(.begin)
    }

    @unsafe func append(_ bytes: UnsafeRawBufferPointer) throws(PackedFileError) {
        var done = 0
        while done < bytes.count {
            if open == nil { open = (try freeSlot(), 0) }
            guard let (slot, filled) = open else { return }
            let count = min(bytes.count - done, slot.content.byteCount - filled)
            let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            unsafe UnsafeMutableRawBufferPointer(rebasing: slot.content.mutableBytes[filled...]).copyMemory(from: piece)
            open = (slot, filled + count)
            done += count
            if filled + count == slot.content.byteCount { try dispatch() }
        }
    }

    /// Ends the section.
    /// - Parameter body: called with it when all of it is in the file, before or in `finish`.
    func end(_ body: @escaping (Section) throws(PackedFileError) -> Void) throws(PackedFileError) {
        try dispatch()
        queue.append(.end(codec ?? .raw, digest, body))
    }

    /// Writes all that is left.
    func finish() throws(PackedFileError) {
        while !queue.isEmpty { try writeNext() }
    }

    /// Gives the open frame to the pool.
    private func dispatch() throws(PackedFileError) {
        guard let (slot, count) = open else { return }
        open = nil
        let codec: Codec
        if let chosen = self.codec {
            codec = chosen
        } else {
            do throws(AllocationError) { codec = try slot.chooseCodec(count, elementByteCount: elementByteCount, kind) } catch { throw .memory(error) }
            self.codec = codec
        }
        let kind = kind
        let encoded = pool.submit { slot.encode(count, codec, kind) }
        queue.append(.frame(slot, encoded: encoded, hashed: digest.append(slot.content, 0..<count)))
    }

    private func freeSlot() throws(PackedFileError) -> FrameSlot {
        while freeSlots.isEmpty {
            if slotCount < mostSlots {
                slotCount += 1
                do throws(AllocationError) { return try FrameSlot() } catch { throw .memory(error) }
            }
            try writeNext()
        }
        return freeSlots.removeLast()
    }

    private func writeNext() throws(PackedFileError) {
        switch queue.removeFirst() {
        case .begin:
            do throws(FileError) { try output.pad(to: Limits.alignment) } catch { throw .file(error) }
            offset = output.position
            frames = []
        case .frame(let slot, let encoded, let hashed):
            let frame: EncodedFrame
            do throws(AllocationError) { frame = try encoded.wait().get() } catch { throw .memory(error) }
            do throws(FileError) { unsafe try output.write(frame.stored) } catch { throw .file(error) }
            frames.append(frame.entry)
            hashed.wait()
            freeSlots.append(slot)
        case .end(let codec, let digest, let body):
            // A section in which no frame gained anything is raw, whatever was tried.
            let isRaw = frames.allSatisfy { $0.storedByteCount == $0.contentByteCount }
            try body(Section(codec: isRaw ? .raw : codec, offset: offset, frames: frames, sha256: digest.digest()))
        }
    }
}
