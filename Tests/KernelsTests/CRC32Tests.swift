import CKernels
import TestKit
import Testing

/// CRC-32 against its definition, bit by bit.
struct CRC32Tests {
    private static func reference(_ crc: UInt32, _ bytes: ArraySlice<UInt8>) -> UInt32 {
        var state = ~crc
        for byte in bytes {
            state ^= UInt32(byte)
            for _ in 0..<8 { state = state >> 1 ^ (state & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
        return ~state
    }

    @Test("any number of blocks, any alignment, any start", .enabled(if: ck_crc32_supported())) func blocks() {
        var random = SplitMix64(seed: 32)
        let bytes = (0..<64 * 40 + 3).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        #expect(Self.reference(0, Array("123456789".utf8)[...]) == 0xCBF4_3926)
        for count in 0...40 {
            for shift in 0..<3 {
                let start = UInt32.random(in: 0 ... .max, using: &random)
                let found = unsafe bytes.withUnsafeBytes { unsafe ck_crc32(start, $0.baseAddress! + shift, count) }
                #expect(found == Self.reference(start, bytes[shift..<shift + 64 * count]), "\(count) blocks from \(shift)")
            }
        }
    }
}
