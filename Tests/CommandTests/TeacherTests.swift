import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// Models before distillation from the command line: SANA-1.5 with times to 1000, SANA of 2K with positions and no norms.
@Suite struct TeacherTests {
    private static let fixtures = Fixtures.path("teachers")
    private static let quick = ["--no-quality", "--calibration", "none", "--quiet"]

    /// A folder of diffusers: mini's parts but for transformer, scheduler and the pipeline's class.
    private static func checkpoint(_ name: String, scheduler: String, in shop: Workshop) throws -> String {
        let target = shop.path(name)
        try FileManager.default.copyItem(atPath: Fixtures.path("mini"), toPath: target)
        for part in ["transformer", "scheduler"] {
            try FileManager.default.removeItem(atPath: "\(target)/\(part)")
            try FileManager.default.copyItem(atPath: "\(fixtures)/\(name)/\(part)", toPath: "\(target)/\(part)")
        }
        let index = try String(contentsOfFile: "\(target)/model_index.json", encoding: .utf8)
            .replacing("SanaSprintPipeline", with: "SanaPipeline").replacing("SCMScheduler", with: scheduler)
        try index.write(toFile: "\(target)/model_index.json", atomically: false, encoding: .utf8)
        return target
    }

    @Test(
        "every probe of the reference is met, and the file is proven",
        arguments: [
            ("sana15", "DPMSolverMultistepScheduler", "sana15-trigflow"), ("sana2k", "FlowMatchEulerDiscreteScheduler", "sana2k-euler"),
        ])
    func reference(name: String, scheduler: String, trace: String) throws {
        let shop = try Workshop()
        let source = try Self.checkpoint(name, scheduler: scheduler, in: shop)
        let (file, golden, own) = (shop.path("a.sprint"), "\(Self.fixtures)/\(trace).safetensors", shop.path("own.safetensors"))
        let made = try Tool.run(["convert", source, "-o", file, "--preset", "fp32"] + Self.quick)
        #expect(made.status == 0, "\(made.errors)")
        let drawn = try Tool.run(["generate", file, "--inputs", golden, "--trace", own, "-o", shop.path("a.png")])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(drawn.errors.contains("not distilled to few steps") == (name == "sana15"), "\(drawn.errors)")
        let compared = try Tool.run(["compare", golden, own])
        #expect(compared.status == 0 && compared.output.contains("PASS  all \(name == "sana15" ? 20 : 12) common probes agree"), "\(compared.output)")
        let proven = try Tool.run(["verify", file, "--against", source])
        #expect(proven.output.hasPrefix("PASS") && proven.output.contains("P6  in TrigFlow's terms the model predicts the same picture"), "\(proven.output)")
    }

    @Test("a quantized one is measured, and draws in the number of steps that it needs") func quantized() throws {
        let shop = try Workshop()
        let source = try Self.checkpoint("sana15", scheduler: "DPMSolverMultistepScheduler", in: shop)
        let file = shop.path("a.sprint")
        let made = try Tool.run(["convert", source, "-o", file, "--json"])
        #expect(made.status == 0, "\(made.errors)")
        #expect(try made.json()["quality"]?["velocity_db"]?["median"]?.double ?? 0 > 25)
        let drawn = try Tool.run(["generate", file, "--prompt", "x", "--sampler", "flow-euler", "-o", shop.path("a.png"), "--json"])
        let settings = try drawn.json()["settings"]
        #expect(settings?["steps"] == 20 && settings?["sampler"] == "flow-euler", "\(drawn.output)\(drawn.errors)")
        let frozen = try Tool.run(["convert", source, "-o", shop.path("b.sprint"), "--freeze-steps", "2"])
        #expect(frozen.status == 2 && frozen.errors.contains("has no embedding of guidance"), "\(frozen.errors)")
    }

    @Test("a teacher's .pth over a folder of Sprint says how it counts times") func timeScale() throws {
        let shop = try Workshop()
        let weights = try OriginalWeights.transformer("\(Self.fixtures)/sana15/transformer")
        let pth = try shop.folder.put(TorchArchive([("state_dict", weights)]).bytes, "teacher.pth")
        // Of Sprint, but for the sizes.
        let base = try Self.checkpoint("sana15", scheduler: "DPMSolverMultistepScheduler", in: shop)
        let configuration = "\(base)/transformer/config.json"
        let text = try String(contentsOfFile: configuration, encoding: .utf8).replacing("\"guidance_embeds\": false", with: "\"guidance_embeds\": true")
        try text.write(toFile: configuration, atomically: false, encoding: .utf8)

        let unsaid = try Tool.run(["convert", pth, "--base", base, "-o", shop.path("a.sprint")] + Self.quick)
        #expect(unsaid.status == 2 && unsaid.errors.contains("--time-scale 1000 for SANA and SANA-1.5"), "\(unsaid.errors)")
        for scale in ["1", "1000"] {
            let file = shop.path("\(scale).sprint")
            let made = try Tool.run(["convert", pth, "--base", base, "--time-scale", scale, "-o", file, "--preset", "fp32"] + Self.quick)
            #expect(made.status == 0, "\(made.errors)")
            #expect(try Tool.run(["verify", file, "--against", pth, "--base", base, "--time-scale", scale]).status == 0)
        }
        let other = try Tool.run(["verify", shop.path("1.sprint"), "--against", pth, "--base", base, "--time-scale", "1000"])
        #expect(other.status == 1 && other.output.contains("transformer/config.json"), "\(other.output)")
        // Counted to 1000, it is the model of the reference.
        let own = shop.path("own.safetensors")
        let golden = "\(Self.fixtures)/sana15-trigflow.safetensors"
        for (scale, status) in [("1000", 0), ("1", 1)] {
            #expect(
                try Tool.run(["generate", shop.path("\(scale).sprint"), "--inputs", golden, "--trace", own, "-o", shop.path("a.png"), "--force"]).status == 0)
            #expect(try Tool.run(["compare", golden, own]).status == Int32(status))
        }
        let sprint = try Tool.run(["convert", Fixtures.path("mini"), "--time-scale", "1", "-o", shop.path("s.sprint")])
        #expect(sprint.status == 2 && sprint.errors.contains("found SANA-Sprint"), "\(sprint.errors)")
    }
}
