import CKernels
import Files

/// SHA-256 of a stream of bytes. Where the CPU has instructions for it two streams are computed at once in little more time than one takes;
/// elsewhere a library computes each alone.
struct StreamDigest {
    private var words: SIMD8<UInt32> = [
        0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
    ]
    /// Bytes that are no whole block yet.
    private var rest: [UInt8] = []
    private var byteCount: UInt64 = 0
    /// In place of all these where the kernels cannot run.
    private var library: SHA256Stream?

    private static let block = 64

    /// - Parameter kernels: false has the library compute it in any case.
    init(kernels: Bool = true) { library = kernels && ck_sha256_supported() ? nil : SHA256Stream() }

    /// Whether two of these are computed in little more time than one.
    var canPair: Bool { library == nil }

    @unsafe mutating func update(_ bytes: UnsafeRawBufferPointer) {
        if library != nil {
            unsafe library?.update(bytes)
            return
        }
        let whole = unsafe completeBlock(bytes)
        unsafe run(whole)
    }

    /// Takes bytes into two streams.
    @unsafe static func update(
        _ first: inout StreamDigest, _ bytes: UnsafeRawBufferPointer, _ second: inout StreamDigest, _ others: UnsafeRawBufferPointer
    ) {
        guard first.canPair, second.canPair else {
            unsafe first.update(bytes)
            unsafe second.update(others)
            return
        }
        let (x, y) = unsafe (first.completeBlock(bytes), second.completeBlock(others))
        let blocks = min(x.count, y.count) / block
        if blocks > 0 {
            unsafe withUnsafeMutableBytes(of: &first.words) { state in
                unsafe withUnsafeMutableBytes(of: &second.words) { otherState in
                    unsafe ck_sha256_pair(
                        state.assumingMemoryBound(to: UInt32.self).baseAddress, x.baseAddress, otherState.assumingMemoryBound(to: UInt32.self).baseAddress,
                        y.baseAddress, blocks)
                }
            }
        }
        unsafe first.run(UnsafeRawBufferPointer(rebasing: x[(blocks * block)...]))
        unsafe second.run(UnsafeRawBufferPointer(rebasing: y[(blocks * block)...]))
    }

    /// Fills up the block that is begun and gives the bytes that are left.
    @unsafe private mutating func completeBlock(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        byteCount += UInt64(bytes.count)
        guard !rest.isEmpty else { return unsafe bytes }
        let missing = min(bytes.count, Self.block - rest.count)
        unsafe rest.append(contentsOf: bytes[..<missing])
        if rest.count == Self.block {
            let filled = rest
            rest = []
            unsafe filled.withUnsafeBytes { unsafe run($0) }
        }
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[missing...])
    }

    /// Takes whole blocks and keeps what is left after them.
    @unsafe private mutating func run(_ bytes: UnsafeRawBufferPointer) {
        let blocks = bytes.count / Self.block
        if blocks > 0 {
            unsafe withUnsafeMutableBytes(of: &words) { unsafe ck_sha256($0.assumingMemoryBound(to: UInt32.self).baseAddress, bytes.baseAddress, blocks) }
        }
        unsafe rest.append(contentsOf: bytes[(blocks * Self.block)...])
    }

    /// The digest as 64 lower-case hexadecimal digits.
    func digest() -> String {
        if let library { return library.digest() }
        var last = self
        let bits = byteCount * 8
        let zeros = (2 * Self.block - 1 - 8 - rest.count) % Self.block
        let padding = [0x80] + [UInt8](repeating: 0, count: zeros) + (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
        unsafe padding.withUnsafeBytes { unsafe last.update($0) }
        return (0..<8).map { Hex.digits(UInt64(last.words[$0]), width: 8) }.joined()
    }
}
