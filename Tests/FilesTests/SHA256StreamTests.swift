import TestKit
import Testing

@testable import Files

/// SHA-256 against values of others, with the CPU's instructions and without.
@Suite struct SHA256StreamTests {
    private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private static func digest(_ bytes: [UInt8], instructions: Bool) -> String {
        var stream = SHA256Stream(instructions: instructions)
        stream.update(bytes)
        return stream.digest()
    }

    /// The examples of FIPS 180-4 and the empty message.
    @Test(
        arguments: [true, false],
        [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
            (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ])
    func examples(instructions: Bool, _ example: (text: String, digest: String)) {
        #expect(Self.digest(Array(example.text.utf8), instructions: instructions) == example.digest)
    }

    /// By Python's hashlib: the digest of all digests' digits.
    @Test(arguments: [true, false]) func everyLength(instructions: Bool) {
        let all = (Array(0...300) + [4095, 4096, 4097]).map { count in
            Self.digest((0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + count) }, instructions: instructions)
        }
        let digest = "c566c566ace0a4f024cd8f35ecd5a813cdaa54fbb22b0af21c318e97756e6411"
        #expect(Self.digest(Array(all.joined().utf8), instructions: instructions) == digest)
    }

    @Test(arguments: [true, false]) func askingChangesNothing(instructions: Bool) {
        var stream = SHA256Stream(instructions: instructions)
        stream.update([1, 2, 3])
        #expect(stream.digest() == stream.digest())
        stream.update([4])
        #expect(stream.digest() == SHA256Stream.digest([1, 2, 3, 4]))
    }

    /// Two streams side by side in pieces of every size, so that blocks begin and end everywhere, in one, in both and in neither.
    @Test(arguments: [true, false]) func pairsAreTwoStreams(instructions: Bool) {
        var random = SplitMix64(seed: 9)
        for turn in 0..<60 {
            var digests = [SHA256Stream(instructions: instructions), SHA256Stream(instructions: instructions)]
            var all: [[UInt8]] = [[], []]
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let pieces = (0..<2).map { _ in Self.bytes(Int.random(in: 0...(turn.isMultiple(of: 2) ? 130 : 2000), using: &random), seed: random.next()) }
                var (first, second) = (digests[0], digests[1])
                unsafe pieces[0].withUnsafeBytes { x in
                    unsafe pieces[1].withUnsafeBytes { y in unsafe SHA256Stream.update(&first, x, &second, y) }
                }
                digests = [first, second]
                for index in 0..<2 { all[index] += pieces[index] }
            }
            for index in 0..<2 { #expect(digests[index].digest() == SHA256Stream.digest(all[index])) }
        }
    }
}
