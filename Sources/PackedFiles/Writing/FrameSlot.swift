import Files
import Tensors

/// Bytes of a buffer that nobody changes any more.
struct FramePart: Sendable {
    let buffer: Buffer
    let range: Range<Int>

    @unsafe var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: buffer.bytes[range]) }
}

/// Room for the work on one frame between the stream of its section and the file: its content in one piece, and what the codec makes of it.
final class FrameSlot: Sendable {
    private let content: Buffer
    private let encoder: FrameEncoder

    /// With the parts that a frame keeps from being freed.
    static let byteCount = 2 * Limits.frameBytes + FrameEncoder.byteCount

    init() throws(MachineError) {
        content = try Buffer(byteCount: Limits.frameBytes, zeroed: false)
        encoder = try FrameEncoder()
    }

    /// Elements that are compressed to choose a codec by.
    private static let sampleBytes = 65_536

    /// The codec of a section that starts with these parts: zstd, or for 16-bit elements what makes a sample of them smallest.
    func chooseCodec(_ parts: [FramePart], elementByteCount: Int, _ kind: ZstdCompressor.Kind) throws(MachineError) -> Codec {
        guard elementByteCount == 2 else { return .zstd }
        let content = unsafe join(parts)
        let sample = unsafe UnsafeRawBufferPointer(rebasing: content[..<min(content.count, Self.sampleBytes)])
        let whole = unsafe try encoder.encode(sample, .zstd, kind).count
        let split = unsafe try encoder.encode(sample, .zstdSplit16, kind).count
        return split < whole ? .zstdSplit16 : .zstd
    }

    /// Encodes parts of at most the size of a frame. The result lies in the slot or, where a lone part is stored as it is, in that one's buffer.
    func encode(_ parts: [FramePart], _ codec: Codec, _ kind: ZstdCompressor.Kind) -> Result<EncodedFrame, MachineError> {
        do throws(MachineError) {
            let content = unsafe join(parts)
            return .success(unsafe EncodedFrame(try encoder.encode(content, codec, kind), contentByteCount: content.count))
        } catch { return .failure(error) }
    }

    /// The parts in one piece: on the thread that encodes it, so that its caches have it.
    @unsafe private func join(_ parts: [FramePart]) -> UnsafeRawBufferPointer {
        if parts.count == 1 { return unsafe parts[0].bytes }
        var done = 0
        for part in parts {
            unsafe UnsafeMutableRawBufferPointer(rebasing: content.mutableBytes[done...]).copyMemory(from: part.bytes)
            done += part.range.count
        }
        return unsafe UnsafeRawBufferPointer(rebasing: content.bytes[..<done])
    }
}

/// The stored bytes of a frame, which live in its slot or its parts, and its entry.
@safe struct EncodedFrame: @unchecked Sendable {  // read by the thread that writes, after the one that compresses
    @unsafe let stored: UnsafeRawBufferPointer
    let entry: Section.Frame

    init(_ stored: UnsafeRawBufferPointer, contentByteCount: Int) {
        unsafe self.stored = stored
        entry = unsafe Section.Frame(storedByteCount: stored.count, contentByteCount: contentByteCount, checksum: XXH3.hash(stored))
    }
}
