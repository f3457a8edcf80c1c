/// A run of bytes in a packed file, in frames that can be read and checked each on its own.
package struct Section: Sendable, Equatable {
    let codec: Codec
    /// Where the first frame starts in the file; the others follow without a gap.
    package let offset: UInt64
    let frames: [Frame]
    /// SHA-256 of the content, as 64 hexadecimal digits.
    let sha256: String

    struct Frame: Sendable, Equatable {
        let storedByteCount: Int
        let contentByteCount: Int
        /// XXH3-64 of the stored bytes.
        let checksum: UInt64
    }

    /// Both sums cannot overflow: a directory holds less than 2^24 frames of less than 2^21 bytes.
    package var storedByteCount: UInt64 { frames.reduce(0) { $0 + UInt64($1.storedByteCount) } }
    package var contentByteCount: UInt64 { frames.reduce(0) { $0 + UInt64($1.contentByteCount) } }
}
