import Foundation
import StrictJSON
import TestKit
import Testing

/// `convert --freeze-steps`: the same pictures as without, and a clear word for everything else.
@Suite struct FrozenScheduleTests {
    @Test(arguments: ["fp32", "int8"], [["--steps", "1"], ["--steps", "4"], ["--timesteps", "paper4", "--guidance", "3"], []])
    func picturesAndVelocitiesAreTheSame(preset: String, plan: [String]) throws {
        let shop = try Workshop()
        let free = try shop.packed(preset)
        let frozen = try shop.packed(preset, ["--freeze-steps", "1,2,4,paper4", "--freeze-guidance", "4.5,3"], as: "frozen")
        for (file, name) in [(free, "free"), (frozen, "frozen")] {
            let drawn = try Tool.run(
                ["generate", file, "--prompt", "a red circle", "--trace", shop.path("\(name).safetensors"), "-o", shop.path("\(name).png"), "-q"] + plan)
            #expect(drawn.status == 0, "\(drawn.errors)")
        }
        // The preset int8 has wider gates for traces of unequal models, but these computed the same.
        let compared = try Tool.run(["compare", shop.path("free.safetensors"), shop.path("frozen.safetensors"), "--json"])
        #expect(compared.status == 0, "\(compared.output.prefix(1000))")
        let errors = try (compared.json()["series"]?.array ?? []).flatMap { $0["probes"]?.array ?? [] }.compactMap { $0["metrics"]?["relative_l2"]?.double }
        #expect(!errors.isEmpty && errors.allSatisfy { $0 <= 1e-5 }, "\(errors.max() ?? .nan)")
    }

    @Test func otherPlansAreRefusedAndNothingElseIs() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8", ["--freeze-steps", "1", "--freeze-guidance", "3"])
        let picture = shop.path("x.png")
        let base = ["generate", file, "--prompt", "a", "-o", picture, "--force"]
        for wrong in [["--steps", "2"], ["--timesteps", "1.5,0"], ["--guidance", "4.5"]] {
            let refused = try Tool.run(base + wrong)
            #expect(refused.status == 2)
            #expect(refused.errors.contains("steps 1 with guidance 3.0"), "\(refused.errors)")
        }
        // Steps and guidance that nobody asked for are the file's.
        #expect(try Tool.run(base).status == 0)
        let verified = try Tool.run(["verify", file, "--against", Workshop.tiny, "-q"])
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(try Tool.run(["inspect", file]).output.contains("steps 1 with guidance 3.0"))
        let exported = try Tool.run(["export", file, "-o", shop.path("folder")])
        #expect(exported.status == 2 && exported.errors.contains("without --freeze-steps"), "\(exported.errors)")
    }
}
