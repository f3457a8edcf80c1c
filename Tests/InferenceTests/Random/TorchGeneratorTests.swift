import Files
import Inference
import Safetensors
import StrictJSON
import Tensors
import Testing

/// Against PyTorch 2.15 on a CPU with AVX2 (Tests/Fixtures/oracle/make_noise.py), bit for bit.
struct TorchGeneratorTests {
    /// "seed42.calls3-24" or "seed42.count16".
    private static func call(_ name: String) throws -> (seed: UInt64, counts: [Int]) {
        let parts = name.split(separator: ".")
        try #require(parts.count == 2)
        let seed = try #require(UInt64(parts[0].dropFirst("seed".count)))
        let counts = try parts[1].drop { !$0.isNumber }.split(separator: "-").map { try #require(Int($0)) }
        return (seed, counts)
    }

    private static func bits(_ seed: UInt64, _ counts: [Int]) -> [UInt32] {
        var generator = TorchGenerator(seed: seed)
        return counts.flatMap { generator.randn($0) }.map(\.bitPattern)
    }

    @Test("every value is torch.randn's, whatever the count and the calls before")
    func stored() throws {
        let file = try SafetensorsFile.open(FixtureFiles.path("noise/noise.safetensors"))
        #expect(file.header.entries.count >= 30)
        for entry in file.header.entries {
            let (seed, counts) = try Self.call(entry.name)
            let tensor = try file.read(entry.name)
            let expected = unsafe Array(tensor.bytes.bindMemory(to: UInt32.self))
            let found = Self.bits(seed, counts)
            let wrong = zip(found, expected).filter { $0 != $1 }.count
            #expect(found.count == expected.count && wrong == 0, "\(entry.name): \(wrong) of \(expected.count) values differ")
        }
    }

    @Test("the digests agree too, where the values are too many to keep")
    func digests() throws {
        let digests = try #require(FixtureFiles.json("noise/sha256.json").object)
        #expect(digests.members.contains { $0.key == "seed42.count32768" })
        for (name, digest) in digests.members {
            let (seed, counts) = try Self.call(name)
            let bytes = Self.bits(seed, counts).flatMap { word in (0..<4).map { UInt8(word >> ($0 * 8) & 0xFF) } }
            #expect(SHA256Stream.digest(bytes) == digest.string, "\(name)")
        }
    }

    @Test("the seed counts modulo 2^32, as in PyTorch")
    func seedModulus() {
        #expect(Self.bits(1 << 40 + 7, [20, 3]) == Self.bits(7, [20, 3]))
        #expect(Self.bits(.max, [20]) == Self.bits(0xFFFF_FFFF, [20]))
        #expect(Self.bits(0, [20]) != Self.bits(1, [20]))
    }

    @Test("no values take nothing from the sequence, and a copy goes on from where it was taken")
    func valueSemantics() {
        var generator = TorchGenerator(seed: 3)
        #expect(generator.randn(0).isEmpty)
        _ = generator.randn(5)
        var copy = generator
        #expect(generator.randn(40) == copy.randn(40))
        #expect(generator.randn(1) == copy.randn(1))
    }
}
