import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// LoRA from the command line: pictures of stock diffusers with PEFT, proof, and words.
@Suite struct AdapterTests {
    private static let mini = Fixtures.path("mini")
    private static let quick = ["--no-quality", "--calibration", "none", "--quiet"]
    private static let q = "transformer_blocks.1.attn1.to_q"

    private static func adapter(_ name: String) -> String { Fixtures.path("adapters/\(name).safetensors") }
    private static func words(_ adapters: [String]) -> [String] {
        adapters.flatMap { word in
            let parts = word.split(separator: "=")
            return ["--lora", "\(adapter(String(parts[0])))=\(parts[1])"]
        }
    }

    @Test(
        "every probe of a stock trace is within the gate of float32",
        arguments: [
            (["peft=0.7"], "weight"), (["kohya=0.7"], "weight"), (["peft=0.5", "second=-1.2"], "two"), (["dora=0.8"], "dora"),
            (["second=0.6", "dora=0.8"], "dora-two"), (["onetrainer=0.6"], "onetrainer"),
        ])
    func goldens(adapters: [String], trace: String) throws {
        let folder = try TemporaryFolder()
        let (file, reference) = (folder.file("x.sprint"), Fixtures.path("adapters/trace-\(trace).safetensors"))
        let components = ["--components", "transformer,vae-decoder,text-encoder,tokenizer"]
        let converted = try Tool.run(["convert", Self.mini, "-o", file, "--preset", "fp32"] + components + Self.quick + Self.words(adapters))
        #expect(converted.status == 0, "\(converted.errors)")
        let drawn = try Tool.run([
            "generate", file, "--prompt", "a large red circle on a blue background", "--no-instruction", "--steps", "2", "--width", "96", "--height", "64",
            "--inputs", reference, "--trace", folder.file("trace.safetensors"), "-o", folder.file("x.png"), "-q",
        ])
        #expect(drawn.status == 0, "\(drawn.errors)")
        let compared = try Tool.run(["compare", reference, folder.file("trace.safetensors"), "--json"])
        #expect(compared.status == 0, "\(compared.output.prefix(2000))")
        // The same from the checkpoint itself; and without the adapters it is another model.
        guard trace == "two" else { return }
        let bisected = try Tool.run(["compare", reference, reference, "--with", Self.mini] + Self.words(adapters))
        #expect(bisected.status == 0, "\(bisected.errors)\(bisected.output.prefix(2000))")
        #expect(try Tool.run(["compare", reference, reference, "--with", Self.mini]).output.contains("dit."))
    }

    @Test("verify proves the file with its adapters, and tells what is other") func proof() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("x.sprint")
        let adapters = Self.words(["peft=0.5", "dora=-0.25"])
        let converted = try Tool.run(["convert", Self.mini, "-o", file, "--preset", "int8", "--components", "transformer"] + Self.quick + adapters)
        #expect(converted.status == 0, "\(converted.errors)")
        let verified = try Tool.run(["verify", file, "--against", Self.mini] + adapters)
        #expect(verified.status == 0 && verified.output.contains("the adapters are the ones that were added"), "\(verified.output.prefix(2000))")
        for (words, expected) in [
            ([], "lora/1/peft.safetensors: adapter: expected it beside the checkpoint, with the weight 0.5, found none"),
            (Self.words(["peft=0.7", "dora=-0.25"]), "adapter: weight: expected 0.5, found 0.7"),
            (Self.words(["kohya=0.5", "dora=-0.25"]), "adapter: SHA-256"), (adapters + Self.words(["second=1"]), "lora/3/second.safetensors"),
        ] as [([String], String)] {
            let failed = try Tool.run(["verify", file, "--against", Self.mini] + words)
            #expect(failed.status == 1 && failed.output.contains(expected), "\(expected): \(failed.output.prefix(1500))")
        }
        let listed = try Tool.run(["inspect", file, "--json"]).json()
        #expect(listed["facts"]?["lora 1"]?.string?.hasPrefix("lora/1/peft.safetensors, weight 0.5, SHA-256 ") == true)
        let exported = try Tool.run(["export", file, "-o", folder.file("export")])
        #expect(exported.status == 0 && exported.output.contains("with lora/1/peft.safetensors, lora/2/dora.safetensors in its weights"))
        // The plain checkpoint is still what it was.
        #expect(try Tool.run(["verify", file]).status == 0)
    }

    @Test("inspect and the other verbs know adapters") func otherVerbs() throws {
        let facts = try Tool.run(["inspect", Self.adapter("onetrainer"), "--json"]).json()["facts"]
        #expect(facts?["adapter"]?.string == "LoRA, rank 2 to 4, 51 modules" && facts?["alpha"] == "a tensor for each module")
        #expect(facts?["targets"]?.string?.contains("text_encoder.layers.N.self_attn.q_proj (4)") == true)
        #expect(try Tool.run(["inspect", Self.adapter("dora")]).output.contains("DoRA, rank 2"))
        let whole = try Tool.run(["inspect", Self.mini] + Self.words(["peft=0.5"]))
        #expect(whole.output.contains("peft.safetensors, LoRA, rank 2 to 4, 35 modules, weight 0.5"))
        let dry = try Tool.run(["convert", Self.mini, "--dry-run", "--json"] + Self.words(["onetrainer=0.5"])).json()
        #expect(dry["adapters"]?.array?.first?["components"] == ["text_encoder", "transformer"])
        let added = dry["plan"]?["tensors"]?.array?.flatMap { $0["additions"]?.array ?? [] }.compactMap { $0["name"]?.string }
        #expect(added?.contains("lora/1/\(Self.q).lora_A.weight") == true)
        // Statistics are of the adapted model, and of no other.
        let folder = try TemporaryFolder()
        let prompts = try folder.put(Array("a cat\n".utf8), "prompts.txt")
        let calibrated = try Tool.run(
            ["calibrate", Self.mini, "-o", folder.file("x.cal"), "--prompts", prompts, "--no-impacts", "-q"] + Self.words(["peft=0.5"]))
        #expect(calibrated.status == 0, "\(calibrated.errors)")
        let convert = ["convert", Self.mini, "-o", folder.file("x.sprint"), "--calibration", folder.file("x.cal"), "--no-quality", "-q"]
        #expect(try Tool.run(convert + Self.words(["peft=0.5"])).status == 0)
        #expect(try Tool.run(convert + ["--force"]).status == 2)
    }

    @Test("a file whose name has an =, and bad words") func words() throws {
        let folder = try TemporaryFolder()
        let plain = try InputFile(path: Self.adapter("second")).contents(limit: 1 << 20)
        for (name, word, weight) in [("a=b", "a=b", 1.0), ("a=2", "a=2=1", 1), ("a=2", "a=2=0.5", 0.5)] {
            try folder.put(plain, name)
            let dry = try Tool.run(["convert", Self.mini, "--dry-run", "--json", "--lora", folder.file(word)]).json()
            #expect(dry["adapters"]?.array?.first?["weight"]?.double == weight, "\(word)")
        }
        for (arguments, status, words) in [
            (["convert", Self.mini, "--dry-run", "--lora", "x="], 64, "--lora"), (["convert", Self.mini, "--dry-run", "--lora", "x=nan"], 64, "--lora"),
            (["convert", Self.mini, "--dry-run", "--lora", "nowhere"], 2, "No such file"),
            (["convert", Self.mini, "--dry-run", "--lora", "\(Self.adapter("peft"))=1.o"], 2, "the weight of the adapter, found \"1.o\""),
            (["convert", Fixtures.path("odd"), "--dry-run", "--lora", Self.adapter("peft")], 2, "attn1.to_k.lora_A.weight"),
            (["convert", Fixtures.path("odd"), "--dry-run", "--lora", Self.adapter("peft")], 2, "expected the shape [rank, 80]"),
            (["convert", Self.mini, "--dry-run", "--transformer", Self.adapter("peft")], 2, "--lora"),
            (["verify", "x.sprint", "--lora", "x"], 64, "--against"), (["compare", "a", "b", "--lora", "x"], 64, "--with"),
            (["calibrate", "--merge", "a.cal", "--lora", "x", "-o", "x.cal"], 64, "statistics alone"),
            (["convert", Self.mini, "-o", Self.adapter("peft"), "--lora", Self.adapter("peft"), "--force"], 2, "peft.safetensors"),
        ] as [([String], Int32, String)] {
            let result = try Tool.run(arguments)
            #expect(result.status == status && result.errors.contains(words), "\(arguments): \(result.errors)")
        }
    }
}
