import Testing

@testable import Files

struct HashesTests {
    // The value of XXH3_64bits for no input with seed 0, from the specification's test vectors.
    @Test func xxh3() {
        #expect(XXH3.hash([]) == 0x2D06_8005_38D3_94C2)
        #expect(XXH3.hash([0]) != XXH3.hash([]))
    }

    @Test(arguments: [(0, 2, "00"), (255, 2, "ff"), (0x1A2B, 16, "0000000000001a2b"), (0x12345, 4, "12345")] as [(UInt64, Int, String)])
    func hex(value: UInt64, width: Int, digits: String) { #expect(Hex.digits(value, width: width) == digits) }
}
