import StrictJSON
import TestKit
import Testing

/// What `generate --dry-run` says of memory, held against what the system says the same request took.
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
        #expect(Double(taken) >= 0.6 * Double(bytes), "stated \(bytes), took \(taken)")
    }

    @Test func everyStageIsStatedAndNamed() throws {
        let shop = try Workshop()
        let drawn = try Tool.run(["generate", try shop.packed("int8"), "--prompt", "a red circle", "-o", shop.path("x.png"), "--json"])
        let stages = try #require(try drawn.json()["memory"]?["stages"]?.array)
        #expect(stages.compactMap { $0["name"]?.string } == ["text encoder", "transformer", "autoencoder's decoder"])
        for stage in stages {
            let (stated, taken) = (try #require(stage["bytes"]?.integer), try #require(stage["peakBufferBytes"]?.integer))
            #expect(0 < taken && taken <= stated, "\(stage.text)")
        }
    }
}
