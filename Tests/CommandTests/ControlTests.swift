import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// Control networks from the command line: words, exit codes, and a file that proves itself.
@Suite struct ControlTests {
    private static let (odd, network) = (Fixtures.path("odd"), Fixtures.path("odd-controlnet"))
    private static let quick = ["--preset", "int8", "--no-quality", "--calibration", "none", "--quiet"]

    @Test("a file with a control network is packed, proven, drawn with, and given back") func roundTrip() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("odd.sprint")
        let converted = try Tool.run(["convert", Self.odd, "--controlnet", Self.network, "-o", file, "--json"] + Self.quick)
        #expect(converted.status == 0, "\(converted.errors)\(converted.output)")
        let parts = try Tool.run(["inspect", file]).output
        #expect(parts.contains("transformer, controlnet, vae-decoder, vae-encoder,"), "\(parts)")

        let verified = try Tool.run(["verify", file, "--against", Self.odd, "--controlnet", Self.network, "--json"])
        #expect(verified.status == 0, "\(verified.errors)\(verified.output.prefix(3000))")
        for words in ["each layer of the control network computes what the checkpoint's computed", "control network, block by block"] {
            #expect(verified.output.contains(words), "\(words)")
        }
        // The other wiring is another model.
        let other = try Tool.run(["verify", file, "--against", Self.odd, "--controlnet", Self.network, "--control-wiring", "nvlabs"])
        #expect(other.status != 0 && (other.output + other.errors).contains("controlnet/config.json"), "\(other)")

        let pixels = (0..<3 * 96 * 64).map { (index: Int) -> UInt8 in UInt8(index / 3 % 7 * 36) }
        let picture = try folder.put(try PNGImage.encode(width: 96, height: 64, rgb: pixels), "hint.png")
        func draw(_ name: String, _ more: [String]) throws -> (result: ChildProcess.Result, bytes: [UInt8]) {
            let trace = folder.file(name)
            let result = try Tool.run(
                ["generate", file, "--prompt", "x", "--steps", "1", "--width", "96", "--height", "64", "--trace", trace, "-o", folder.file("\(name).png")]
                    + more)
            #expect(result.status == 0, "\(result.errors)")
            return (result, try SafetensorsFile.open(trace).read("image_u8").contents)
        }
        let (plain, hinted) = (try draw("plain", []), try draw("hinted", ["--control", picture, "--json"]))
        #expect(plain.bytes != hinted.bytes)
        #expect(try hinted.result.json()["settings"]?["conditioning_scale"]?.double == 1)
        #expect(try draw("none", ["--control", picture, "--control-scale", "0"]).bytes == plain.bytes)
        #expect(try draw("again", ["--inputs", folder.file("hinted")]).bytes == hinted.bytes)
        // Another size is said to be resized.
        let large = try folder.put(try PNGImage.encode(width: 60, height: 50, rgb: [UInt8](repeating: 9, count: 9000)), "large.png")
        let resized = try draw("resized", ["--control", large])
        #expect(resized.result.errors.contains("60 x 50: resized to 96 x 64, which stretches it"), "\(resized.result.errors)")
        let dry = try Tool.run(["generate", file, "--control", picture, "--width", "96", "--height", "64", "--dry-run"])
        #expect(dry.status == 0 && dry.output.contains("autoencoder's encoder"), "\(dry)")

        let export = folder.file("export")
        #expect(try Tool.run(["export", file, "-o", export]).status == 0)
        let again = folder.file("again.sprint")
        let second = try Tool.run(
            ["convert", export, "--controlnet", Paths.join(export, "controlnet"), "-o", again, "--preset", "fp32", "--no-quality", "--quiet", "--dry-run"])
        #expect(second.status == 0, "\(second.errors)")
    }

    @Test("a picture is changed, or it is said why it would not be") func image() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("odd.sprint")
        #expect(
            try Tool.run([
                "convert", Self.odd, "-o", file, "--preset", "fp16", "--components", "transformer,vae-decoder,vae-encoder,text-encoder,tokenizer", "-q",
            ]).status == 0)
        let picture = try folder.put(try PNGImage.encode(width: 96, height: 64, rgb: (0..<18432).map { UInt8($0 % 251) }), "in.png")
        let words = ["generate", file, "--prompt", "x", "--width", "96", "--height", "64", "--image", picture, "--force", "-o", folder.file("out.png")]
        let drawn = try Tool.run(words + ["--steps", "4", "--strength", "0.3", "--json"])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try drawn.json()["settings"]?["timesteps"]?.array?.count == 3)
        let again = try Tool.run(words + ["--steps", "2", "--strength", "0.5"])
        #expect(again.status == 0, "\(again.errors)")
        // The defaults would ignore it.
        let ignored = try Tool.run(words)
        #expect(ignored.status == 64 && ignored.errors.contains("--steps 2 --strength 0.5"), "\(ignored)")
        #expect(try Tool.run(words + ["--strength", "0"]).status == 64)
        #expect(try Tool.run(words + ["--steps", "2", "--strength", "1e-20"]).status == 64)
    }

    @Test("words that do not go together") func usage() throws {
        let folder = try TemporaryFolder()
        let plain = folder.file("plain.sprint")
        #expect(try Tool.run(["convert", Self.odd, "-o", plain, "--preset", "fp16", "--components", "transformer,vae-decoder", "--quiet"]).status == 0)
        let picture = try folder.put([0xFF, 0xD8, 0xFF, 0xE0, 1], "no.png")
        let generate = ["generate", plain, "--prompt", "x", "-o", folder.file("x.png")]
        let cases: [(arguments: [String], status: Int32, words: String)] = [
            (["convert", Self.odd, "--control-wiring", "nvlabs", "--dry-run"], 64, "--controlnet"),
            (["convert", Self.odd, "--controlnet", Self.network, "--control-wiring", "other", "--dry-run"], 64, "nvlabs"),
            (["convert", Self.odd, "--controlnet", Self.network, "--components", "transformer", "--dry-run"], 64, "controlnet among --components"),
            (["convert", Fixtures.path("mini"), "--controlnet", Self.network, "--dry-run"], 2, "controlnet/config.json"),
            (["convert", Self.odd, "--controlnet", folder.file("missing"), "--dry-run"], 2, "missing"),
            (generate + ["--control-scale", "nan"], 64, "--control-scale"),
            (generate + ["--control-scale", "0.5"], 64, "--control"),
            (generate + ["--control", picture], 2, "convert with --controlnet"),
            (generate + ["--control", folder.file("missing.png")], 2, "missing.png"),
        ]
        for (arguments, status, words) in cases {
            let result = try Tool.run(arguments)
            #expect(result.status == status && result.errors.contains(words), "\(arguments): \(result)")
        }
        #expect(!Paths.exists(folder.file("x.png")))
    }
}
