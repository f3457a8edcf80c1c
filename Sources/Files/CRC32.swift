internal import CPNG

/// CRC-32 as zip and PNG have it, against damage alone.
package enum CRC32 {
    package static func hash(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt = 0
        var start = 0
        // zlib counts in 32 bits.
        while start < bytes.count {
            let count = min(bytes.count - start, 1 << 30)
            sum = unsafe bytes.withUnsafeBufferPointer { unsafe crc32(sum, $0.baseAddress! + start, UInt32(count)) }
            start += count
        }
        return UInt32(truncatingIfNeeded: sum)
    }
}
