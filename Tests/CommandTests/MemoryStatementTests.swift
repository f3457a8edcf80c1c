import StrictJSON
import TestKit
import Testing

/// What `generate --dry-run` says of memory, held against what the same request took: each stage against the buffers that were counted in it, from
/// both sides, and the whole against what was resident, which must not be more.
@Suite struct MemoryStatementTests {
    @Test(arguments: ["int8", "bf16", "fp32"], [(128, 1), (512, 2), (1024, 1)])
    func theStatementHolds(preset: String, _ size: (side: Int, steps: Int)) throws {
        let shop = try Workshop()
        let file = try shop.packed(preset)
        let request = ["generate", file, "--width", "\(size.side)", "--height", "\(size.side)", "--steps", "\(size.steps)", "--threads", "2", "--json"]
        let stated = try Tool.run(request + ["--dry-run"])
        #expect(stated.status == 0, "\(stated.errors)")
        #expect(shop.names == ["\(preset).sprint"])
        let bytes = try #require(try stated.json()["memory"]?["bytes"]?.integer)
        let drawn = try Tool.run(request + ["--prompt", "a large red circle on a blue background", "-o", shop.path("x.png")])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try drawn.json()["memory"]?["bytes"]?.integer == bytes)
        let taken = try #require(try drawn.json()["peakResidentBytes"]?.integer)
        #expect(taken <= bytes, "stated \(bytes), took \(taken)")
        let stages = try #require(try drawn.json()["memory"]?["stages"]?.array)
        #expect(stages.compactMap { $0["name"]?.string } == ["text encoder", "transformer", "autoencoder's decoder"])
        for stage in stages {
            let stated = try #require(stage["weightBytes"]?.integer) + #require(stage["workingBytes"]?.integer)
            let counted = try #require(stage["peakBufferBytes"]?.integer)
            #expect(counted <= stated && Double(counted) >= 0.25 * Double(stated), "\(stage.text)")
        }
    }
}
