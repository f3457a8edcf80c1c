import CKernels
import CZstd
import TestKit
import Testing

/// The entropy code for weights: what zstd makes of its frames, and the same bytes from every instruction set.
@Suite struct HuffmanTests {
    /// Distributions that try the code: flat and steep ones, few symbols and all, at both ends of the alphabet.
    enum Content: CaseIterable {
        case gaussian, heavyTails, uniform, flatHalf, steep, single, pairOfEnds, nearlySingle, rows

        func bytes(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
            (0..<count).map { index in
                switch self {
                case .gaussian: UInt8(truncatingIfNeeded: (0..<4).reduce(-100) { sum, _ in sum + Int.random(in: 0...50, using: &random) })
                case .heavyTails:
                    UInt8(truncatingIfNeeded: Int.random(in: -11...11, using: &random) * (Int.random(in: 0...9, using: &random) == 0 ? 11 : 1))
                case .uniform: UInt8.random(in: 0...255, using: &random)
                case .flatHalf: UInt8.random(in: 100...227, using: &random)
                case .steep: UInt8(min(255, UInt64.random(in: 0...UInt64.max, using: &random).leadingZeroBitCount * 5))
                case .single: 0x80
                case .pairOfEnds: Bool.random(using: &random) ? 0 : 255
                case .nearlySingle: index % 5000 == 4999 ? UInt8.random(in: 0...255, using: &random) : 1
                case .rows: UInt8(truncatingIfNeeded: Int.random(in: -3...3, using: &random) * (1 + index / 2240 % 40))
                }
            }
        }
    }

    private func frame(_ set: InstructionSet, _ content: [UInt8]) -> [UInt8] {
        let room = ZSTD_compressBound(content.count)
        var out = [UInt8](repeating: 0xA5, count: room + 1), scratch = [UInt8](repeating: 0, count: ck_huffman_scratch())
        let count = unsafe ck_huffman_frame(set.code, content, content.count, &out, &scratch)
        #expect(count <= room && out[room] == 0xA5)
        return Array(out.prefix(count))
    }

    @Test(arguments: Content.allCases) func framesAreReadByZstd(_ content: Content) {
        var random = SplitMix64(seed: 21)
        // Ends of blocks, of streams and of vectors: 128 KiB and what follows it, odd quarters, blocks that are too short for a code.
        for count in [4096, 4097, 4099, 5000, 131_071, 131_072, 131_073, 132_095, 132_096, 132_351, 300_001] {
            let bytes = content.bytes(count, &random)
            let expected = frame(.plain, bytes)
            for set in InstructionSet.supported { #expect(frame(set, bytes) == expected, "\(count)") }
            guard !expected.isEmpty else {
                #expect(content == .uniform, "only a flat code for all bytes has no description")
                continue
            }
            var back = [UInt8](repeating: 0, count: count)
            let length = unsafe ZSTD_decompress(&back, count, expected, expected.count)
            #expect(length == count && back == bytes, "\(count)")
        }
    }

    /// A block against the best prefix code of any length for its content, which the codes of at most 11 bits, for frequencies that are partly
    /// estimated, must come near: three thousandths, and the description.
    @Test(arguments: [Content.gaussian, .heavyTails, .flatHalf]) func codesAreNearTheBest(_ content: Content) {
        var random = SplitMix64(seed: 22)
        let bytes = content.bytes(131_072, &random)
        var counts = [Int](repeating: 0, count: 256)
        for byte in bytes { counts[Int(byte)] += 1 }
        var weights = counts.filter { $0 > 0 }.sorted(by: >)
        var bits = 0
        while weights.count > 1 {
            let joined = weights.removeLast() + weights.removeLast()
            bits += joined
            weights.insert(joined, at: weights.firstIndex { $0 < joined } ?? weights.count)
        }
        let (found, best) = (Double(frame(.plain, bytes).count), Double(bits) / 8)
        #expect(found >= best && found <= best * 1.003 + 200, "\(found) of \(best)")
    }
}
