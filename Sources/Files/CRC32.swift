internal import CKernels
internal import CPNG

/// CRC-32 as zip and PNG have it, against damage alone.
package enum CRC32 {
    package static func hash(_ bytes: [UInt8]) -> UInt32 { unsafe bytes.withUnsafeBytes { unsafe hash($0) } }

    @unsafe package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = unsafe bytes.baseAddress else { return 0 }
        let blocks = ck_crc32_supported() ? bytes.count / 64 : 0
        var sum = UInt(unsafe ck_crc32_supported() ? ck_crc32(0, base, blocks) : 0)
        var start = blocks * 64
        // zlib counts in 32 bits.
        while start < bytes.count {
            let count = min(bytes.count - start, 1 << 30)
            sum = unsafe crc32(sum, base.assumingMemoryBound(to: UInt8.self) + start, UInt32(count))
            start += count
        }
        return UInt32(truncatingIfNeeded: sum)
    }

    /// The checksum of bytes with `first` and others behind them, `byteCount` with `second`.
    package static func joined(_ first: UInt32, _ second: UInt32, byteCount: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32_combine(UInt(first), UInt(second), byteCount))
    }
}
