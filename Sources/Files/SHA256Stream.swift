internal import CKernels

/// SHA-256 of a stream of bytes, as 64 lower-case hexadecimal digits. Where the CPU has instructions for it, two streams are computed at once in
/// little more time than one takes.
package struct SHA256Stream {
    private var words: SIMD8<UInt32> = [
        0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
    ]
    /// Bytes that are no whole block yet.
    private var rest: [UInt8] = []
    private var byteCount: UInt64 = 0
    private let instructions: Bool

    private static let block = 64

    package init() { self.init(instructions: true) }

    /// - Parameter instructions: whether the CPU's are used where it has them.
    init(instructions: Bool) { self.instructions = instructions && ck_sha256_supported() }

    package static func digest(_ bytes: [UInt8]) -> String {
        var stream = SHA256Stream()
        stream.update(bytes)
        return stream.digest()
    }

    package mutating func update(_ bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe update($0) } }

    @unsafe package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let whole = unsafe completeBlock(bytes)
        unsafe run(whole)
    }

    /// Takes bytes into two streams.
    @unsafe package static func update(
        _ first: inout SHA256Stream, _ bytes: UnsafeRawBufferPointer, _ second: inout SHA256Stream, _ others: UnsafeRawBufferPointer
    ) {
        let (x, y) = unsafe (first.completeBlock(bytes), second.completeBlock(others))
        let blocks = min(x.count, y.count) / block
        if blocks > 0 {
            let instructions = first.instructions && second.instructions
            unsafe withUnsafeMutableBytes(of: &first.words) { state in
                unsafe withUnsafeMutableBytes(of: &second.words) { otherState in
                    unsafe ck_sha256_pair(
                        instructions, state.assumingMemoryBound(to: UInt32.self).baseAddress, x.baseAddress,
                        otherState.assumingMemoryBound(to: UInt32.self).baseAddress, y.baseAddress, blocks)
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
            let instructions = instructions
            unsafe withUnsafeMutableBytes(of: &words) {
                unsafe ck_sha256(instructions, $0.assumingMemoryBound(to: UInt32.self).baseAddress, bytes.baseAddress, blocks)
            }
        }
        unsafe rest.append(contentsOf: bytes[(blocks * Self.block)...])
    }

    /// The digest as 64 lower-case hexadecimal digits.
    package func digest() -> String {
        var last = self
        let bits = byteCount * 8
        let zeros = (2 * Self.block - 1 - 8 - rest.count) % Self.block
        let padding = [0x80] + [UInt8](repeating: 0, count: zeros) + (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
        unsafe padding.withUnsafeBytes { unsafe last.update($0) }
        return (0..<8).map { Hex.digits(UInt64(last.words[$0]), width: 8) }.joined()
    }
}
