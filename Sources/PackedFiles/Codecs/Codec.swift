internal import CKernels
import Tensors

/// How the frames of a section are stored (Formats/packed.md, "Codecs").
///
/// Whatever the codec, a frame whose stored size equals its content size is stored as it is.
enum Codec: String, Sendable, CaseIterable {
    /// Every frame as it is.
    case raw
    /// A frame is one zstd frame.
    case zstd
    /// For 16-bit elements: one zstd frame of the high bytes, then the low bytes as they are. The low byte of a weight is noise.
    case zstdSplit16 = "zstd-split16"

    /// Whether elements of `elementByteCount` bytes can be stored with this codec.
    func fits(elementByteCount: Int) -> Bool { self != .zstdSplit16 || elementByteCount == 2 }
}

/// Room for the codecs' work on one frame, used again from frame to frame.
struct FrameEncoder: Sendable {
    private let compressor: ZstdCompressor
    private let stored: Buffer
    private let high: Buffer

    static let byteCount = Zstd.bound(Limits.frameBytes) + Limits.frameBytes / 2 + ZstdCompressor.scratchByteCount

    init() throws(MachineError) {
        compressor = try ZstdCompressor()
        stored = try Buffer(byteCount: Zstd.bound(Limits.frameBytes), zeroed: false)
        high = try Buffer(byteCount: Limits.frameBytes / 2, zeroed: false)
    }

    /// Stores `content` with `codec` where that saves at least 1/32 of it, else as it is. The bytes are valid until the next call.
    @unsafe func encode(
        _ content: UnsafeRawBufferPointer, _ codec: Codec, _ kind: ZstdCompressor.Kind
    ) throws(MachineError) -> UnsafeRawBufferPointer {
        let count: Int
        switch codec {
        case .raw: return unsafe content
        case .zstd: count = unsafe try compressor.compress(content, kind, into: stored.mutableBytes)
        case .zstdSplit16:
            let half = content.count / 2
            // The low bytes wait behind the most that the high ones can become.
            let room = Zstd.bound(half)
            let low = unsafe UnsafeMutableRawBufferPointer(rebasing: stored.mutableBytes[room..<room + half])
            unsafe ck_split16(InstructionSet.forConversions.rawValue, content.baseAddress, high.mutableBytes.baseAddress, low.baseAddress, half)
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: stored.mutableBytes[..<room])
            let compressed = unsafe try compressor.compress(UnsafeRawBufferPointer(rebasing: high.bytes[..<half]), kind, into: target)
            count = compressed + half
            unsafe UnsafeMutableRawBufferPointer(rebasing: stored.mutableBytes[compressed..<count]).copyMemory(from: UnsafeRawBufferPointer(low))
        }
        return count + content.count / 32 < content.count ? unsafe UnsafeRawBufferPointer(rebasing: stored.bytes[..<count]) : unsafe content
    }
}

/// Room for the codecs' work on one frame that is read, used again from frame to frame.
struct FrameDecoder: Sendable {
    private let decompressor: ZstdDecompressor
    private let high: Buffer
    /// Where a frame's stored bytes go.
    let stored: Buffer
    /// Where the content of a frame goes that is not wanted whole.
    let content: Buffer

    /// Of the three buffers.
    static let byteCount = 2 * Limits.frameBytes + Limits.frameBytes / 2

    init() throws(MachineError) {
        decompressor = try ZstdDecompressor()
        content = try Buffer(byteCount: Limits.frameBytes, zeroed: false)
        stored = try Buffer(byteCount: Limits.frameBytes, zeroed: false)
        high = try Buffer(byteCount: Limits.frameBytes / 2, zeroed: false)
    }

    /// Restores a frame's content, which fills `target`; nil, or what is wrong. The stored bytes are not the content as it is.
    @unsafe func decode(
        _ stored: UnsafeRawBufferPointer, _ codec: Codec, into target: UnsafeMutableRawBufferPointer
    ) -> FrameProblem? {
        switch codec {
        case .raw: return FrameProblem("\(target.count) stored bytes", "\(stored.count)")
        case .zstd: return unsafe Zstd.decompress(stored, into: target, decompressor)
        case .zstdSplit16:
            let half = target.count / 2
            let compressed = stored.count - half
            guard compressed > 0 else { return FrameProblem("more than \(half) stored bytes", "\(stored.count)") }
            let high = unsafe UnsafeMutableRawBufferPointer(rebasing: high.mutableBytes[..<half])
            if let problem = unsafe Zstd.decompress(UnsafeRawBufferPointer(rebasing: stored[..<compressed]), into: high, decompressor) { return problem }
            unsafe ck_merge16(InstructionSet.forConversions.rawValue, high.baseAddress, stored.baseAddress! + compressed, target.baseAddress, half)
            return nil
        }
    }
}
