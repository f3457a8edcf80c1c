import Files
import Foundation
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// What people met in the field, as kinds: checkpoints as other tools leave them, and words that other tools take.
@Suite struct FieldReportsTests {
    private static let transformer = "transformer/diffusion_pytorch_model.safetensors"
    private static let textEncoder = "text_encoder/model.safetensors"

    private static let python = ProcessInfo.processInfo.environment["SPRINTPACK_PYTHON"] ?? "python3"
    /// Whether this machine has what Formats/reader.py needs; the Makefile's environment has.
    private static let hasReader = (try? ChildProcess.run([python, "-c", "import zstandard, xxhash"]).status) == 0

    typealias Item = (name: String, dtype: DType, shape: Shape, bytes: [UInt8])

    /// Writes a weight file of a checkpoint again, with its tensors changed.
    private func rewrite(_ path: String, _ change: (inout [Item]) throws -> Void) throws {
        let file = try SafetensorsFile.open(path)
        var items: [Item] = try file.header.entries.map { ($0.name, $0.dtype, $0.shape, Array(try file.read($0.name).contents)) }
        try change(&items)
        let writer = try SafetensorsWriter(path: path, kind: .anything, replace: true, tensors: items.map { ($0.name, $0.dtype, $0.shape) })
        for item in items { try writer.append(item.bytes) }
        try writer.finish()
    }

    private func edit(_ path: String, _ change: (inout JSONObject) -> Void) throws {
        var object = try #require(try JSONValue.parse(try InputFile(path: path).contents(limit: 1 << 20), maximumDepth: 16).object)
        change(&object)
        try Data(JSONValue.object(object).canonicalText).write(to: URL(fileURLWithPath: path))
    }

    private func dryRun(_ checkpoint: String, _ more: [String] = []) throws -> ChildProcess.Result {
        try Tool.run(["convert", checkpoint, "--dry-run", "--calibration", "none"] + more)
    }

    /// The error of a checkpoint that is refused.
    private func refusal(_ checkpoint: String, _ more: [String] = []) throws -> String {
        let result = try dryRun(checkpoint, more)
        #expect(result.status == 2, "\(result.output)")
        return result.errors
    }

    // MARK: Weights as other programs store them

    /// Codes of the type whose values lie around those of a trained weight.
    private func eightBits(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 0x18 + ($0 * 37) % 24 + ($0 % 2) << 7) } }

    @Test func eightBitFloatsConvertToWhatTheyStandFor() throws {
        let shop = try Workshop()
        let (plain, scaled, wide) = (try shop.checkpoint("plain"), try shop.checkpoint("scaled"), try shop.checkpoint("wide"))
        let name = "transformer_blocks.0.attn1.to_q.weight"
        for folder in [plain, scaled, wide] {
            try rewrite("\(folder)/\(Self.transformer)") { items in
                let index = try #require(items.firstIndex { $0.name == name })
                let codes = eightBits(items[index].shape.elementCount)
                (items[index].dtype, items[index].bytes) = (.f8e4m3, codes)
                if folder == scaled {
                    // 0.25 as float32.
                    items.append((String(name.dropLast(6)) + "scale_weight", .f32, [1], [0, 0, 0x80, 0x3E]))
                    items.append(("scaled_fp8", .f8e4m3, [2], [0, 0]))
                } else if folder == wide {
                    // A quarter of each value in bfloat16: its exponent counts from 127 instead of 7, and two less.
                    items[index].dtype = .bf16
                    items[index].bytes = codes.flatMap { code -> [UInt8] in
                        let bits = UInt16(code & 0x80) << 8 | (UInt16(code & 0x7F) << 4 + (120 - 2) << 7)
                        return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
                    }
                }
            }
        }
        for (folder, export) in [(scaled, "a"), (wide, "b")] {
            let file = "\(folder).sprint"
            let result = try Tool.run(["convert", folder, "-o", file, "--preset", "fp32", "--quiet", "--components", "transformer"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Tool.run(["export", file, "-o", shop.path(export)]).status == 0)
        }
        let (a, b) = (try SafetensorsFile.open(shop.path("a/\(Self.transformer)")), try SafetensorsFile.open(shop.path("b/\(Self.transformer)")))
        #expect(try a.read(name).widened().elements == b.read(name).widened().elements)
        for (folder, note) in [(scaled, "with their scales, as F32"), (plain, "as BF16, which holds every one of their values")] {
            let said = try dryRun(folder, ["--json"]).json()["notes"]
            #expect(said == [.string("transformer: 1 tensor in eight-bit floats is read \(note)")])
        }
    }

    @Test func quantizedWeightsAreNamedInOneLine() throws {
        let shop = try Workshop()
        let bits = try shop.checkpoint("nf4")
        try rewrite("\(bits)/\(Self.textEncoder)") { items in
            for index in items.indices where items[index].name.hasSuffix("_proj.weight") {
                let count = items[index].shape.elementCount / 2
                items.append((items[index].name + ".absmax", .u8, [1], [0]))
                items.append((items[index].name + ".quant_state.bitsandbytes__nf4", .u8, [1], [0]))
                (items[index].dtype, items[index].shape, items[index].bytes) = (.u8, [count, 1], [UInt8](repeating: 0, count: count))
            }
        }
        let bytes = try shop.checkpoint("int8")
        try edit("\(bytes)/transformer/config.json") { $0["quantization_config"] = ["quant_method": "somebody's"] }
        try rewrite("\(bytes)/\(Self.transformer)") { items in
            for index in items.indices where items[index].name.hasSuffix("to_q.weight") {
                (items[index].dtype, items[index].bytes) = (.i8, [UInt8](repeating: 1, count: items[index].shape.elementCount))
            }
        }
        for (folder, component, method) in [(bits, "text_encoder", "bitsandbytes (4 bits)"), (bytes, "transformer", "somebody's")] {
            let error = try refusal(folder)
            #expect(
                error.split(separator: "\n").count == 1 && error.contains("\(folder)/\(component): ") && error.contains("quantized with \(method)"), "\(error)")
            #expect(error.contains("give the original"))
        }
        // A word that was left behind over weights that are whole is no obstacle.
        let whole = try shop.checkpoint("whole")
        try edit("\(whole)/transformer/config.json") { $0["quantization_config"] = ["quant_method": "bitsandbytes"] }
        #expect(try dryRun(whole).status == 0)
    }

    @Test(arguments: [
        ("model.diffusion_model.", "--transformer FILE"), ("module.", "--transformer FILE"), ("net.inner.", "save the inner model"),
    ]) func aPrefixOfAllNamesIsOneLine(prefix: String, advice: String) throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        try rewrite("\(folder)/\(Self.transformer)") { items in for index in items.indices { items[index].name = prefix + items[index].name } }
        let error = try refusal(folder)
        #expect(error.split(separator: "\n").count == 1 && error.contains("\"\(prefix)\" before 135 of them") && error.contains(advice), "\(error)")
        let file = try dryRun(folder, ["--transformer", "\(folder)/\(Self.transformer)"])
        #expect(file.status == (advice.contains("FILE") ? 0 : 2), "\(file.errors)")
    }

    @Test func namesOfAnAdapterAreOneLine() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        try rewrite("\(folder)/\(Self.transformer)") { items in
            for index in items.indices where items[index].name.hasSuffix("to_q.weight") {
                items[index].name = String(items[index].name.dropLast(6)) + "base_layer.weight"
            }
        }
        let error = try refusal(folder)
        #expect(error.split(separator: "\n").count == 1 && error.contains("merge_and_unload()"), "\(error)")
    }

    @Test func longListsAreCut() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        try rewrite("\(folder)/\(Self.transformer)") { items in for index in items.indices { items[index].name = "x\(index)" } }
        let error = try refusal(folder)
        #expect(error.split(separator: "\n").count == 1 + 20 + 20 + 2, "\(error)")
        #expect(error.contains("and 115 more that nothing takes") && error.contains("and 115 more that are missing"), "\(error)")
    }

    // MARK: What is left out

    @Test func whatIsLeftOutIsListedEverywhere() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        let copy = "transformer/diffusion_pytorch_model.fp16.safetensors"
        try FileManager.default.copyItem(atPath: "\(folder)/\(Self.transformer)", toPath: "\(folder)/\(copy)")
        try rewrite("\(folder)/\(Self.textEncoder)") { $0.append(("lm_head.weight", .f32, [1], [0, 0, 0, 0])) }
        let file = shop.path("a.sprint")
        let runs = [
            ["convert", folder, "-o", file, "--preset", "bf16", "--no-quality", "--components", "transformer,text-encoder"],
            ["convert", folder, "--dry-run", "--calibration", "none"], ["inspect", folder],
        ]
        for arguments in runs {
            let text = try Tool.run(arguments)
            #expect(text.status == 0, "\(text.errors)")
            for word in ["left out of the transformer: \"diffusion_pytorch_model.fp16.safetensors\": not used;", "--variant fp16", "\"lm_head.weight\""] {
                #expect(text.output.contains(word), "\(text.output)")
            }
            let names = try Tool.run(arguments + ["--json"] + (arguments.contains("-o") ? ["--force"] : [])).json()["leftOut"]?.array?.compactMap {
                $0["name"]?.string
            }
            #expect(names == ["lm_head.weight", "diffusion_pytorch_model.fp16.safetensors"])
        }
    }

    @Test func patternsAreRecordedAndVerifiedBy() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        try rewrite("\(folder)/\(Self.transformer)") { items in
            items += [("pos_embed", .f32, [1], [0, 0, 0, 0]), ("loss.a", .f32, [], [0, 0, 0, 0]), ("loss.b", .u8, [0], [])]
        }
        let strict = try refusal(folder)
        #expect(strict.contains("loss.a: nothing in the model takes this tensor") && strict.contains("--ignore NAME"), "\(strict)")
        let lost = try refusal(folder, ["--ignore", "loss.*", "--ignore", "lost.*"])
        #expect(lost.contains("--ignore lost.*: expected names"), "\(lost)")
        let needed = try refusal(folder, ["--ignore", "loss.*", "--ignore", "pos_embed", "--ignore", "proj_out.*"])
        #expect(needed.contains("proj_out.weight: missing"), "\(needed)")

        let file = shop.path("a.sprint")
        let patterns = ["--ignore", "loss.*", "--ignore", "pos_embed"]
        let options = ["--preset", "bf16", "--no-quality", "--components", "transformer", "--quiet"]
        #expect(try Tool.run(["convert", folder, "-o", file] + options + patterns).status == 0)
        if Self.hasReader {
            let read = "import sys; sys.path.insert(0, sys.argv[1]); import reader; print(*reader.File(sys.argv[2]).directory['policy']['ignore'])"
            let recorded = try ChildProcess.run([Self.python, "-c", read, Fixtures.path("../../Formats"), file])
            #expect(recorded.output == "loss.* pos_embed\n", "\(recorded.errors)")
        }
        // Without being told again, and without what the file has not.
        try FileManager.default.removeItem(atPath: "\(folder)/text_encoder")
        let verified = try Tool.run(["verify", file, "--against", folder, "-q"])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test func whatIsNotWantedMayBeAbsent() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        for part in ["text_encoder", "tokenizer"] { try FileManager.default.removeItem(atPath: "\(folder)/\(part)") }
        let file = shop.path("a.sprint")
        let missing = try refusal(folder)
        #expect(missing.contains("text_encoder") && missing.contains("--components"), "\(missing)")
        let options = ["--components", "transformer,vae-decoder", "--preset", "bf16"]
        let result = try Tool.run(["convert", folder, "-o", file] + options)
        #expect(result.status == 0 && result.output.contains("not wanted, and not read"), "\(result.errors)")
        // The same file as from all of it.
        #expect(try Tool.run(["convert", Workshop.tiny, "-o", shop.path("b.sprint")] + options).status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data(contentsOf: URL(fileURLWithPath: shop.path("b.sprint"))))
    }

    // MARK: Configurations

    @Test func spellingsOfOtherVersionsAreRead() throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        try edit("\(folder)/text_encoder/config.json") { config in
            (config["rope_scaling"], config["rope_parameters"]) = (["rope_type": "default", "rope_theta": 10000], .null)
        }
        for name in ["TokenizersBackend", "PreTrainedTokenizerFast"] {
            try edit("\(folder)/model_index.json") { $0["tokenizer"] = ["transformers", .string(name)] }
            let result = try dryRun(folder)
            #expect(result.status == 0, "\(result.errors)")
        }
        try edit("\(folder)/text_encoder/config.json") { $0["rope_scaling"] = ["rope_type": "linear", "factor": 2] }
        #expect(try refusal(folder).contains("rope_scaling: rope_type: \"linear\""))
        try edit("\(folder)/text_encoder/config.json") { config in
            (config["rope_scaling"], config["rope_parameters"]) = (["type": "default", "rope_theta": 10000], ["rope_theta": 500000])
        }
        #expect(try refusal(folder).contains("rope_scaling: rope_theta"))
    }

    @Test(arguments: [([0xEF, 0xBB, 0xBF], "UTF-8"), ([0xFF, 0xFE], "UTF-16"), ([0xFE, 0xFF], "UTF-16")] as [([UInt8], String)])
    func byteOrderMarksAreNamed(mark: [UInt8], encoding: String) throws {
        let shop = try Workshop()
        let folder = try shop.checkpoint()
        let path = "\(folder)/vae/config.json"
        try (Data(mark) + Data(contentsOf: URL(fileURLWithPath: path))).write(to: URL(fileURLWithPath: path))
        let error = try refusal(folder)
        #expect(error.contains("vae/config.json") && error.contains("a byte order mark of \(encoding); save the file as UTF-8 without one"), "\(error)")
    }

    // MARK: Words

    @Test func standardOutputIsForPictures() throws {
        let shop = try Workshop()
        let file = try shop.packed("bf16", ["--components", "transformer"])
        let runs = [
            ["convert", Workshop.tiny, "-o", "-"], ["calibrate", Workshop.tiny, "-o", "-"], ["export", file, "-o", "-"], ["verify", file, "--html", "-"],
            ["compare", "a.safetensors", "b.safetensors", "--html", "-"], ["generate", file, "--prompt", "x", "-o", "x.png", "--trace", "-"],
            ["generate", file, "--prompt", "x", "--prompt", "y", "-o", "-"],
        ]
        for arguments in runs {
            let result = try Tool.run(arguments)
            #expect(result.status == 64 && result.errors.contains("expected") && result.errors.contains("found -"), "\(arguments): \(result.errors)")
        }
    }

    @Test func rulesAndPromptsComeThroughPipes() throws {
        let shop = try Workshop()
        let rules = try Tool.shell(
            #"printf '%s\n' '*.cross.kv.weight int8-per-channel float' | "$TOOL" convert \#(Workshop.tiny) --dry-run --calibration none --json --rules /dev/stdin"#
        )
        #expect(rules.status == 0, "\(rules.errors)")
        #expect(try rules.json()["plan"]?["policy"]?["rules"] == ["*.cross.kv.weight int8-per-channel float"])
        let file = try shop.packed("bf16", ["--components", "transformer,vae-decoder,text-encoder,tokenizer"])
        let prompts = try Tool.shell(
            #"printf 'one\ntwo\n' | "$TOOL" generate \#(file) --prompts /dev/stdin --steps 1 -o \#(shop.path("p.png")) --json"#)
        #expect(try prompts.json()["pictures"]?.array?.compactMap { $0["settings"]?["prompt"]?.string } == ["one", "two"], "\(prompts.errors)")
    }
}
