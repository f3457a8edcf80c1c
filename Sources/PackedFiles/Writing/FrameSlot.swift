import Files
import Tensors

/// Room for one frame between the stream of its section and the file: its content, and what the codec makes of it.
final class FrameSlot: Sendable {
    let content: Buffer
    private let encoder: FrameEncoder

    static let byteCount = Limits.frameBytes + FrameEncoder.byteCount

    init() throws(AllocationError) {
        content = try Buffer(byteCount: Limits.frameBytes, zeroed: false)
        encoder = try FrameEncoder()
    }

    /// Elements that are compressed to choose a codec by.
    private static let sampleBytes = 65_536

    /// The codec of a section that starts with the slot's first `count` bytes: zstd, or for 16-bit elements what makes a sample of them smallest.
    func chooseCodec(_ count: Int, elementByteCount: Int, _ kind: ZstdCompressor.Kind) throws(AllocationError) -> Codec {
        guard elementByteCount == 2 else { return .zstd }
        let sample = unsafe UnsafeRawBufferPointer(rebasing: content.bytes[..<min(count, Self.sampleBytes)])
        let whole = unsafe try encoder.encode(sample, .zstd, kind).count
        let split = unsafe try encoder.encode(sample, .zstdSplit16, kind).count
        return split < whole ? .zstdSplit16 : .zstd
    }

    /// Encodes the slot's first `count` bytes.
    func encode(_ count: Int, _ codec: Codec, _ kind: ZstdCompressor.Kind) -> Result<EncodedFrame, AllocationError> {
        do throws(AllocationError) {
            let content = unsafe UnsafeRawBufferPointer(rebasing: content.bytes[..<count])
            return .success(unsafe EncodedFrame(try encoder.encode(content, codec, kind), contentByteCount: count))
        } catch { return .failure(error) }
    }
}

/// The stored bytes of a frame, which live in its slot, and its entry.
@safe struct EncodedFrame: @unchecked Sendable {  // read by the thread that writes, after the one that compresses
    @unsafe let stored: UnsafeRawBufferPointer
    let entry: Section.Frame

    init(_ stored: UnsafeRawBufferPointer, contentByteCount: Int) {
        unsafe self.stored = stored
        entry = unsafe Section.Frame(storedByteCount: stored.count, contentByteCount: contentByteCount, checksum: XXH3.hash(stored))
    }
}
