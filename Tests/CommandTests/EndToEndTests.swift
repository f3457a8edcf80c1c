import Files
import Foundation
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// The real binary from checkpoint to picture.
@Suite struct EndToEndTests {
    @Test(arguments: ["fp32", "fp16", "bf16", "int8"])
    func everyPresetConvertsVerifiesAndDraws(preset: String) throws {
        let shop = try Workshop()
        let file = try shop.packed(preset)
        let verified = try Tool.run(["verify", file, "--against", Workshop.tiny, "-q"])
        #expect(verified.status == 0 && verified.output.isEmpty, "\(verified.errors)")
        let picture = shop.path("picture.png")
        let drawn = try Tool.run(["generate", file, "--prompt", "a large red circle on a blue background", "--seed", "0", "-o", picture, "--json"])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: picture)).starts(with: [0x89, 0x50, 0x4E, 0x47]))
        #expect(shop.names == ["\(preset).sprint", "picture.png"])
    }

    @Test(arguments: ["steps1", "steps2", "steps4"])
    func exactWeightsAgreeWithPyTorchAtEveryProbe(steps: String) throws {
        let shop = try Workshop()
        let file = try shop.packed("fp32", ["--components", "all"])
        let golden = Fixtures.path("tiny-sprint/goldens/\(steps).safetensors")
        let trace = shop.path("trace.safetensors")
        let drawn = try Tool.run(["generate", file, "--inputs", golden, "--trace", trace, "-o", shop.path("picture.png")])
        #expect(drawn.status == 0, "\(drawn.errors)")
        let near = try Tool.run(["compare", golden, trace])
        #expect(near.status == 0, "\(near.output)")
        let exact = try Tool.run(["compare", Fixtures.path("traces/tiny-\(steps)-float64.safetensors"), trace, "--yardstick", golden])
        #expect(exact.status == 0, "\(exact.output)")
    }

    @Test func aWrongTraceFailsAndNamesTheFirstProbe() throws {
        let golden = Fixtures.path("tiny-sprint/goldens/steps2.safetensors")
        let result = try Tool.run(["compare", golden, Fixtures.path("traces/tiny-plain-float32.safetensors"), "--json"])
        #expect(result.status == 1)
        #expect(try result.json()["ok"] == false)
    }

    @Test func tracesWithoutACommonProbeAreAnError() throws {
        let shop = try Workshop()
        let result = try Tool.run(["compare", Fixtures.path("tiny-sprint/goldens/steps1.safetensors"), Fixtures.path("metrics/cases.safetensors")])
        #expect(result.status == 2, "\(result.output)")
        #expect(shop.names.isEmpty)
    }

    @Test func threadsAndMemoryDoNotChangeAByte() throws {
        let shop = try Workshop()
        let one = shop.path("one.sprint")
        let two = shop.path("two.sprint")
        // Attachments are results of floating-point arithmetic, which may add in another order.
        let content = ["--components", "transformer,vae-decoder,text-encoder,tokenizer"]
        #expect(try Tool.run(["convert", Workshop.tiny, "-o", one, "--threads", "1", "-q"] + content).status == 0)
        let plain = try Tool.run(["convert", Workshop.tiny, "-o", two, "--threads", "3", "--max-memory", "80MiB", "--json"] + content)
        #expect(try Data(contentsOf: URL(fileURLWithPath: one)) == Data(contentsOf: URL(fileURLWithPath: two)))
        let cached = try Tool.run(["convert", Workshop.tiny, "-o", shop.path("cached.sprint"), "--threads", "2", "--no-quality", "--json"])
        #expect(try cached.json()["contentHash"]?.string != nil && cached.json()["contentHash"] == plain.json()["contentHash"])
        #expect(try cached.json()["prefixCacheBytes"]?.integer ?? 0 > 0 && plain.json()["prefixCacheBytes"] == .null)
    }

    @Test func whatBF16KeepsComesBackBitForBit() throws {
        let shop = try Workshop()
        let file = try shop.packed("bf16", ["--components", "all"])
        let folder = shop.path("exported")
        #expect(try Tool.run(["export", file, "-o", folder]).status == 0)
        for name in ["transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"] {
            let source = try SafetensorsFile.open("\(Workshop.tiny)/\(name).safetensors")
            let copy = try SafetensorsFile.open("\(folder)/\(name).safetensors")
            #expect(Set(source.header.entries.map(\.name)) == Set(copy.header.entries.map(\.name)))
            for entry in source.header.entries {
                let (left, right) = (try source.read(entry.name), try copy.read(entry.name))
                #expect(left.dtype == right.dtype && left.shape == right.shape)
                #expect(unsafe left.bytes.elementsEqual(right.bytes), "\(entry.name)")
            }
        }
        for name in ["model_index.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer.model", "transformer/config.json", "vae/config.json"] {
            #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")) == Data(contentsOf: URL(fileURLWithPath: "\(Workshop.tiny)/\(name)")))
        }
    }

    @Test func aDryRunWritesNothing() throws {
        let shop = try Workshop()
        let result = try Tool.run(["convert", Workshop.tiny, "-o", shop.path("x.sprint"), "--dry-run"])
        #expect(result.status == 0)
        #expect(result.output.contains("int8-per-channel int8-per-token"))
        #expect(shop.names.isEmpty)
    }

    @Test func inspectKnowsFilesByTheirContent() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        try FileManager.default.moveItem(atPath: file, toPath: shop.path("no-extension"))
        for (path, kind) in [
            (shop.path("no-extension"), "packed file"), (Workshop.tiny, "checkpoint"),
            ("\(Workshop.tiny)/vae/diffusion_pytorch_model.safetensors", "safetensors"),
            (Fixtures.path("mini/transformer/diffusion_pytorch_model.safetensors.index.json"), "shard index"),
        ] {
            let result = try Tool.run(["inspect", path, "--tensors", "--json"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try result.json()["kind"] == .string(kind))
        }
        #expect(try Tool.shell("\"$TOOL\" inspect \(Workshop.tiny) --tensors | head -1").status == 0)
    }

    @Test func aLongPromptIsCutWithAWarning() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let prompt = String(repeating: "a large red circle on a blue background and ", count: 60)
        let result = try Tool.run(["generate", file, "--prompt", prompt, "--steps", "1", "-o", shop.path("long.png")])
        #expect(result.status == 0)
        #expect(result.errors.contains("warning: the prompt is "))
    }

    @Test func benchTimesEveryStage() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let resident = try Tool.run(["bench", file, "--runs", "2", "--steps", "2", "--resident", "--json"])
        #expect(resident.status == 0, "\(resident.errors)")
        let stages = ["text encoder", "load transformer", "all steps", "decode picture", "each step after the first"]
        #expect(try resident.json()["stages"]?.object?.keys.sorted() == stages.sorted())
        let result = try Tool.run(["bench", file, "--runs", "1", "--steps", "1", "--json"])
        #expect(result.status == 0, "\(result.errors)")
        for stage in ["unpack all weights", "text encoder", "load transformer", "all steps", "decode picture"] {
            #expect(try result.json()["stages"]?[stage]?["median"]?.double ?? 0 > 0, "\(stage)")
        }
    }

    /// The layers of the run that `generate` makes: the instruction comes from the prefix cache, and nothing is encoded from a picture.
    @Test func benchTimesTheLayersOfThatRun() throws {
        let shop = try Workshop()
        let result = try Tool.run(["bench", try shop.packed("int8", ["--components", "all"]), "--runs", "3", "--steps", "1", "--layers", "--json"])
        #expect(result.status == 0, "\(result.errors)")
        let laps = try #require(try result.json()["layers"]?.array).map { (name: $0["probe"]?.string ?? "", seconds: $0["median"]?.double ?? 0) }
        let names = laps.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(names.contains("text.layer.0") && names.contains("dit.step0.block.4") && names.contains("vae.dec.stage.0"))
        #expect(!names.contains { $0.hasPrefix("vae.enc.") || $0 == "text.embed" || $0 == "prompt_embeds" }, "\(names)")
        // What the decoder's stages compute is their own time, not that of the picture behind them.
        let stages = laps.filter { $0.name.hasPrefix("vae.dec.stage.") }.reduce(0) { $0 + $1.seconds }
        let picture = try #require(laps.first { $0.name == "image" }).seconds
        #expect(stages > picture, "\(stages) s, \(picture) s")
    }

    /// A machine without OpenBLAS: what computes with it is refused before the output is begun, and what does not is converted.
    @Test func aMissingLibraryIsFoundBeforeTheWork() throws {
        let shop = try Workshop()
        let shim = try Shim("no-openblas")
        let refused = try shim.run(["convert", Workshop.tiny, "-o", shop.path("x.sprint")])
        #expect(refused.status == 2)
        #expect(refused.errors.contains("component prefix-cache: is computed, and libopenblas"), "\(refused.errors)")
        #expect(shop.names.isEmpty)
        let plain = [
            "convert", Workshop.tiny, "-o", shop.path("z.sprint"), "--components", "transformer,vae-decoder", "--freeze-steps", "1", "--freeze-guidance", "4.5",
        ]
        let calibrated = try shim.run(plain)
        #expect(calibrated.status == 2 && calibrated.errors.contains("--calibration none"), "\(calibrated.errors)")
        #expect(try shim.run(plain + ["--calibration", "none"]).status == 0)
    }
}
