internal import CXXHash

/// XXH3-64, the checksum of frames and headers: fast, against damage, not against an adversary.
package enum XXH3 {
    @unsafe package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        unsafe XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    package static func hash(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash($0) }
    }
}

/// Fixed-width lower-case hexadecimal numbers.
package enum Hex {
    package static func digits(_ value: UInt64, width: Int = 16) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
