internal import CKernels
internal import CZstd
import Tensors

/// zstd as the container uses it: single frames of known content size, without dictionary, with a bounded window.
enum Zstd {
    /// The library's version; part of what a file's bytes depend on.
    static var version: String { unsafe String(cString: ZSTD_versionString()) }

    /// Room that a compressed frame of `count` content bytes can need.
    static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// Decompresses `source`, which has to be exactly one frame whose content fills `target`; nil, or what is wrong.
    @unsafe static func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, _ context: ZstdDecompressor) -> FrameProblem? {
        if let problem = unsafe checkHeader(source, contentByteCount: UInt64(target.count)) { return problem }
        let length = unsafe ZSTD_findFrameCompressedSize(source.baseAddress, source.count)
        guard ZSTD_isError(length) == 0 else { return FrameProblem("one complete zstd frame", unsafe String(cString: ZSTD_getErrorName(length))) }
        guard length == source.count else { return FrameProblem("a zstd frame of \(source.count) bytes", "\(length) bytes") }
        let count = unsafe ZSTD_decompressDCtx(context.context, target.baseAddress, target.count, source.baseAddress, source.count)
        guard ZSTD_isError(count) == 0 else { return FrameProblem("a valid zstd frame", unsafe String(cString: ZSTD_getErrorName(count))) }
        guard count == target.count else { return FrameProblem("\(target.count) content bytes", "\(count)") }
        return nil
    }

    /// Checks what the frame's own header promises (RFC 8878, 3.1.1.1) before the library acts on it.
    @unsafe private static func checkHeader(_ frame: UnsafeRawBufferPointer, contentByteCount: UInt64) -> FrameProblem? {
        guard frame.count >= 6, unsafe frame.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) else {
            return FrameProblem("a zstd frame", "bytes without its magic number")
        }
        let descriptor = unsafe frame[4]
        let isSingleSegment = descriptor & 0x20 != 0
        guard descriptor & 0x08 == 0 else { return FrameProblem("a zstd frame header", "its reserved bit set") }
        guard descriptor & 0x03 == 0 else { return FrameProblem("a zstd frame without dictionary", "a dictionary identifier") }
        let contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][Int(descriptor >> 6)]
        guard contentSizeBytes > 0 else { return FrameProblem("a zstd frame that declares its content size", "none") }
        var position = 5
        var window: UInt64?
        if !isSingleSegment {
            let byte = unsafe UInt64(frame[position])
            let base = UInt64(1) << (10 + byte >> 3)
            window = base + base / 8 * (byte & 7)
            position += 1
        }
        guard frame.count >= position + contentSizeBytes else { return FrameProblem("a complete zstd frame header", "\(frame.count) bytes") }
        var content: UInt64 = 0
        for index in (0..<contentSizeBytes).reversed() { content = unsafe content << 8 | UInt64(frame[position + index]) }
        if contentSizeBytes == 2 { content += 256 }
        guard content == contentByteCount else { return FrameProblem("\(contentByteCount) content bytes", "a frame that declares \(content)") }
        guard window ?? content <= Limits.windowBytes else {
            return FrameProblem("a window of at most \(Limits.windowBytes) bytes", "\(window ?? content)")
        }
        return nil
    }
}

/// What is wrong with a frame: what was expected and what was found.
struct FrameProblem: Error, Sendable, Equatable {
    let expected: String
    let found: String

    init(_ expected: String, _ found: String) {
        self.expected = expected
        self.found = found
    }
}

/// The library's tables for compression, used again from frame to frame.
@safe final class ZstdCompressor: @unchecked Sendable {  // one thread at a time, that of the frame's work
    private let context: OpaquePointer

    /// What is compressed, which decides how.
    enum Kind {
        /// Text, with its repetitions: level 1. So are float32 planes of 16-bit weights, half of whose bytes are zeros.
        case text
        /// Weights, whose values are independent: an entropy code for each block of 128 KiB (ck_huffman_frame) and no search for repetitions. It
        /// ends 1 to 3% above the order-0 entropy, closer than level 1, which finds repetitions that cost more than they save.
        case weights

        /// Of planes of a type.
        static func planes(of dtype: DType) -> Kind { dtype.byteCount <= 2 ? .weights : .text }
    }

    /// What is shorter is compressed as text: a table of codes would be most of it.
    private static let fewestWeights = 4096

    private let scratch: Buffer
    static var scratchByteCount: Int { ck_huffman_scratch() }

    init() throws(MachineError) {
        scratch = try Buffer(byteCount: Self.scratchByteCount, zeroed: false)
        guard let context = unsafe ZSTD_createCCtx() else { throw .refused(byteCount: Zstd.bound(0), inUse: Memory.inUse) }
        unsafe self.context = context
    }

    deinit { unsafe ZSTD_freeCCtx(context) }

    /// Compresses `source` into one frame at the start of `target` and gives its length.
    /// - Precondition: `target` holds at least `Zstd.bound(source.count)` bytes.
    @unsafe func compress(
        _ source: UnsafeRawBufferPointer, _ kind: Kind, into target: UnsafeMutableRawBufferPointer
    ) throws(MachineError) -> Int {
        guard kind == .weights, source.count >= Self.fewestWeights else { return unsafe try run(source, .text, into: target) }
        let count = unsafe try code(source, into: target)
        // No code is shorter than a bit: what comes near it, mostly zeros, has repetitions that are worth a search.
        guard count < source.count / 4 else { return count }
        let searched = unsafe try run(source, .text, into: target)
        return searched < count ? searched : unsafe try code(source, into: target)
    }

    @unsafe private func code(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws(MachineError) -> Int {
        let count = unsafe ck_huffman_frame(
            InstructionSet.forConversions.rawValue, source.baseAddress, source.count, target.baseAddress, scratch.mutableBytes.baseAddress)
        return count > 0 ? count : unsafe try run(source, .weights, into: target)
    }

    @unsafe private func run(_ source: UnsafeRawBufferPointer, _ kind: Kind, into target: UnsafeMutableRawBufferPointer) throws(MachineError) -> Int {
        set(ZSTD_c_compressionLevel, kind == .weights ? -131_072 : 1)
        // ZSTD_c_literalCompressionMode: such a level leaves literals as they are, unless told to (1) code them.
        set(ZSTD_c_experimentalParam5, kind == .weights ? 1 : 0)
        let count = unsafe ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
        // With room for the bound, a lack of memory for the library's tables is the only cause left.
        guard ZSTD_isError(count) == 0 else { throw .refused(byteCount: Zstd.bound(source.count), inUse: Memory.inUse) }
        return count
    }

    private func set(_ parameter: ZSTD_cParameter, _ value: Int32) {
        let result = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
        precondition(ZSTD_isError(result) == 0, "this zstd has no parameter \(parameter.rawValue)")
    }
}

/// The library's tables for decompression, used again from frame to frame.
@safe final class ZstdDecompressor: @unchecked Sendable {  // one thread at a time
    fileprivate let context: OpaquePointer

    init() throws(MachineError) {
        guard let context = unsafe ZSTD_createDCtx() else { throw .refused(byteCount: 160 << 10, inUse: Memory.inUse) }
        unsafe self.context = context
    }

    deinit { unsafe ZSTD_freeDCtx(context) }
}

extension Zstd {
    /// One frame with this text.
    static func compressed(_ content: [UInt8]) throws(MachineError) -> [UInt8] {
        let compressor = try ZstdCompressor()
        var failure: MachineError?
        let frame = unsafe [UInt8](unsafeUninitializedCapacity: bound(content.count)) { target, count in
            unsafe content.withUnsafeBytes { source in
                do throws(MachineError) {
                    count = unsafe try compressor.compress(source, .text, into: UnsafeMutableRawBufferPointer(target))
                } catch { failure = error }
            }
        }
        if let failure { throw failure }
        return frame
    }

    /// The `count` content bytes of exactly one frame.
    static func decompressed(_ frame: [UInt8], count: Int) throws(MachineError) -> Result<[UInt8], FrameProblem> {
        let decompressor = try ZstdDecompressor()
        var problem: FrameProblem?
        let content = unsafe [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            problem = unsafe frame.withUnsafeBytes { unsafe decompress($0, into: UnsafeMutableRawBufferPointer(target), decompressor) }
            initialized = problem == nil ? count : 0
        }
        return problem.map { .failure($0) } ?? .success(content)
    }
}
