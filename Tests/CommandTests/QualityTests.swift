import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// How good a file is, as the verbs say it: `convert`, `verify` and `inspect`, and `--min-sqnr`.
@Suite struct QualityTests {
    @Test("an honest file is good, says so again without its checkpoint, and meets a target below what was measured")
    func good() throws {
        let shop = try Workshop()
        let file = shop.path("good.sprint")
        let converted = try Tool.run(["convert", Workshop.tiny, "-o", file])
        #expect(
            converted.status == 0 && converted.output.contains("\nquality: good; measured on 4 prompts, 20 velocities"),
            "\(converted.output)\(converted.errors)")
        let verified = try Tool.run(["verify", file, "--min-sqnr", "30"])
        #expect(verified.status == 0 && verified.output.contains("\nquality: good; measured when the file was made"), "\(verified.output)")
        #expect(verified.output.hasPrefix("PASS"))
        #expect(try Tool.run(["inspect", file]).output.contains("\nquality       good; velocity "))
        let missed = try Tool.run(["verify", file, "--min-sqnr", "90", "--json"])
        #expect(missed.status == 1)
        let json = try missed.json()
        #expect(json["passed"] == false && json["headline"]?.string?.contains("expected velocities of 90.0 dB or more (--min-sqnr)") == true)
        #expect(json["quality"]?["word"] == "good" && json["quality"]?["measured"] == false)
    }

    @Test("outliers that training hid in pairs of weights cost nothing, with statistics and without")
    func planted() throws {
        let shop = try Workshop()
        let checkpoint = shop.path("planted")
        try PlantedCheckpoint.copy(Workshop.tiny, to: checkpoint, share: 0.05, maxPower: 10)
        for calibration in ["auto", "none"] {
            let medians = try [checkpoint, Workshop.tiny].enumerated().map { index, source in
                let converted = try Tool.run([
                    "convert", source, "-o", shop.path("\(calibration)-\(index)"), "--preset", "int8", "--calibration", calibration, "--min-sqnr", "40",
                    "--json",
                ])
                #expect(converted.status == 0, "\(converted.errors)")
                return try #require(try converted.json()["quality"]?["velocity_db"]?["median"]?.double)
            }
            #expect(abs(medians[0] - medians[1]) < 1, "\(calibration): \(medians)")
        }
    }

    @Test("a checkpoint with outliers becomes no good file unnoticed")
    func poor() throws {
        let shop = try Workshop()
        let checkpoint = shop.path("planted")
        try PlantedCheckpoint.copy(Workshop.tiny, to: checkpoint)
        let file = shop.path("poor.sprint")
        // As 0.1 stored them.
        let rules = shop.path("rules")
        try OutputFile.write(
            Array("dit.blocks.*.ff.out.weight int8-rotated\n*.self.out.weight int8-per-channel\n*.cross.out.weight int8-per-channel\n".utf8), to: rules,
            kind: .anything, replace: false)
        let refused = try Tool.run(["convert", checkpoint, "-o", file, "--preset", "int8", "--rules", rules, "--min-sqnr", "30"])
        #expect(refused.status == 1 && refused.errors.contains("expected velocities of 30.0 dB or more (--min-sqnr), found "), "\(refused.errors)")
        #expect(refused.errors.contains("poor, held back by ") && refused.errors.contains("; nothing was written"))
        #expect(shop.names == ["planted", "rules"])
        let converted = try Tool.run(["convert", checkpoint, "-o", file, "--rules", rules, "--json"])
        #expect(converted.status == 0)
        #expect(try converted.json()["quality"]?["word"] == "poor")
        let verified = try Tool.run(["verify", file])
        #expect(verified.output.contains("\nquality: poor; ") && verified.output.contains("\n  held back by "), "\(verified.output)")
    }

    @Test("what rounds nothing is not measured, and neither is what is told not to be")
    func unmeasured() throws {
        let shop = try Workshop()
        let file = shop.path("exact.sprint")
        let exact = try Tool.run(["convert", Workshop.tiny, "-o", file, "--preset", "bf16", "--min-sqnr", "60"])
        #expect(
            exact.status == 0 && exact.output.hasSuffix("\nquality: as good as 16 bit; every weight is the checkpoint's own, nothing is rounded\n"),
            "\(exact.output)")
        #expect(try Tool.run(["verify", file, "--min-sqnr", "60"]).status == 0)
        let plain = try shop.packed("int8")
        #expect(try !Tool.run(["inspect", plain]).output.contains("quality"))
        let verified = try Tool.run(["verify", plain, "--min-sqnr", "30"])
        #expect(verified.status == 2 && verified.errors.contains("verify it --against its checkpoint"), "\(verified.errors)")
        let parts = try Tool.run(["convert", Workshop.tiny, "-o", shop.path("x.sprint"), "--components", "transformer", "--min-sqnr", "30"])
        #expect(parts.status == 64 && parts.errors.contains("expected quality among --components"), "\(parts.errors)")
    }
}
