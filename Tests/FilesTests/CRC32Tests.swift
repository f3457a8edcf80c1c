import Files
import TestKit
import Testing

/// CRC-32 of bytes and of pieces put together.
struct CRC32Tests {
    @Test func knownValues() {
        #expect(CRC32.hash([]) == 0)
        #expect(CRC32.hash(Array("123456789".utf8)) == 0xCBF4_3926)
        #expect(CRC32.hash([UInt8](repeating: 0, count: 1 << 16)) == 0xD7978EEB)
    }

    @Test("pieces give what the whole gives", arguments: [0, 1, 63, 64, 65, 500, 999, 1000]) func pieces(cut: Int) {
        var random = SplitMix64(seed: 7)
        let bytes = (0..<1000).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        let (first, second) = (Array(bytes[..<cut]), Array(bytes[cut...]))
        #expect(CRC32.joined(CRC32.hash(first), CRC32.hash(second), byteCount: second.count) == CRC32.hash(bytes))
    }
}
