internal import CXXHash
internal import Crypto

/// XXH3-64, the checksum of frames and headers: fast, against damage, not against an adversary.
package enum XXH3 {
    @unsafe package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        unsafe XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    package static func hash(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash($0) }
    }
}

/// SHA-256 of a stream of bytes, as 64 lower-case hexadecimal digits.
package struct SHA256Stream {
    private var state = SHA256()

    package init() {}

    @unsafe package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        unsafe state.update(bufferPointer: bytes)
    }

    package mutating func update(_ bytes: [UInt8]) { state.update(data: bytes) }

    package func digest() -> String { state.finalize().map { Hex.digits(UInt64($0), width: 2) }.joined() }

    package static func digest(_ bytes: [UInt8]) -> String {
        var stream = SHA256Stream()
        stream.update(bytes)
        return stream.digest()
    }
}

/// Fixed-width lower-case hexadecimal numbers.
package enum Hex {
    package static func digits(_ value: UInt64, width: Int = 16) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
