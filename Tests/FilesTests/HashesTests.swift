import TestKit
import Testing

@testable import Files

struct HashesTests {
    // FIPS 180-4 examples and the empty message.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    func sha256(text: String, digest: String) { #expect(SHA256Stream.digest(Array(text.utf8)) == digest) }

    @Test("a digest does not depend on how the bytes come in pieces") func pieces() {
        var random = SplitMix64(seed: 3)
        let bytes = (0..<1000).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        var stream = SHA256Stream()
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...100, using: &random))
            stream.update(Array(piece))
            rest = rest.dropFirst(piece.count)
        }
        #expect(stream.digest() == SHA256Stream.digest(bytes))
    }

    // The value of XXH3_64bits for no input with seed 0, from the specification's test vectors.
    @Test func xxh3() {
        #expect(XXH3.hash([]) == 0x2D06_8005_38D3_94C2)
        #expect(XXH3.hash([0]) != XXH3.hash([]))
    }

    @Test(arguments: [(0, 2, "00"), (255, 2, "ff"), (0x1A2B, 16, "0000000000001a2b"), (0x12345, 4, "12345")] as [(UInt64, Int, String)])
    func hex(value: UInt64, width: Int, digits: String) { #expect(Hex.digits(value, width: width) == digits) }
}
