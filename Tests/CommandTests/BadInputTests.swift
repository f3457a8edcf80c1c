import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// Bad input: a clear error, exit code 2, and nothing written.
@Suite struct BadInputTests {
    /// One way to spoil a checkpoint, and words that the error must have.
    struct Spoiled: Sendable, CustomTestStringConvertible {
        let name: String
        let words: [String]
        let spoil: @Sendable (String) throws -> Void
        var testDescription: String { name }
    }

    static let weights = "transformer/diffusion_pytorch_model.safetensors"

    static let spoiled: [Spoiled] = [
        Spoiled(name: "empty file", words: [weights, "0"]) { try Data().write(to: URL(fileURLWithPath: "\($0)/\(weights)")) },
        Spoiled(name: "truncated file", words: [weights]) {
            let file = URL(fileURLWithPath: "\($0)/\(weights)")
            try Data(contentsOf: file).dropLast(1000).write(to: file)
        },
        Spoiled(name: "header beyond the file", words: [weights]) { folder in
            for (index, byte) in [0xFF, 0xFF, 0xFF, 0x00].enumerated() { try patch("\(folder)/\(weights)", at: index) { $0 = UInt8(byte) } }
        },
        Spoiled(name: "a web page for weights", words: [weights, "web page"]) {
            try Data("<!DOCTYPE html><html>login</html>".utf8).write(to: URL(fileURLWithPath: "\($0)/\(weights)"))
        },
        Spoiled(name: "NaN in a weight", words: ["scale_shift_table", "finite", "--allow-nonfinite"]) { folder in
            let size = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(weights)")[.size] as? Int ?? 0
            try patch("\(folder)/\(weights)", at: size - 1) { $0 = 0x7F }
            try patch("\(folder)/\(weights)", at: size - 2) { $0 = 0xC0 }
        },
        Spoiled(name: "fewer layers than the weights have", words: ["transformer_blocks.4", "nothing in the model takes this tensor"]) {
            try edit("\($0)/transformer/config.json", "\"num_layers\": 5", "\"num_layers\": 4")
        },
        Spoiled(name: "wider than the weights", words: ["caption_channels", "hidden_size"]) {
            try edit("\($0)/transformer/config.json", "\"caption_channels\": 128", "\"caption_channels\": 256")
        },
        Spoiled(name: "unknown architecture", words: ["FluxPipeline", "SanaSprintPipeline"]) {
            try edit("\($0)/model_index.json", "SanaSprintPipeline", "FluxPipeline")
        },
        Spoiled(name: "unknown norm", words: ["qk_norm", "layer_norm", "rms_norm_across_heads"]) {
            try edit("\($0)/transformer/config.json", "rms_norm_across_heads", "layer_norm")
        },
        Spoiled(name: "no weights", words: ["safetensors"]) { try FileManager.default.removeItem(atPath: "\($0)/\(weights)") },
        Spoiled(name: "configuration that is no JSON", words: ["transformer/config.json"]) {
            try Data("{\"num_layers\": 5,}".utf8).write(to: URL(fileURLWithPath: "\($0)/transformer/config.json"))
        },
        Spoiled(name: "no model_index.json", words: ["model_index.json"]) { try FileManager.default.removeItem(atPath: "\($0)/model_index.json") },
    ]

    private static func edit(_ path: String, _ old: String, _ new: String) throws {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard text.contains(old) else { throw Workshop.Failure(description: "\(path) has no \(old)") }
        try text.replacingOccurrences(of: old, with: new).write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test(arguments: spoiled) func aSpoiledCheckpointIsRefused(_ spoiled: Spoiled) throws {
        let shop = try Workshop()
        let checkpoint = try shop.checkpoint()
        try spoiled.spoil(checkpoint)
        let result = try Tool.run(["convert", checkpoint, "-o", shop.path("out.sprint")])
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.hasPrefix("sprintpack: error: "))
        #expect(result.output.isEmpty)
        for word in spoiled.words { #expect(result.errors.contains(word), "\(result.errors)") }
        #expect(shop.names == ["checkpoint"])
        let json = try Tool.run(["convert", checkpoint, "-o", shop.path("out.sprint"), "--json"])
        #expect(try json.json()["error"]?["status"] == 2)
    }

    @Test func nonFiniteWeightsConvertWhenAllowed() throws {
        let shop = try Workshop()
        let checkpoint = try shop.checkpoint()
        let nan = try #require(Self.spoiled.first { $0.name == "NaN in a weight" })
        try nan.spoil(checkpoint)
        #expect(try Tool.run(["convert", checkpoint, "-o", shop.path("out.sprint"), "--preset", "bf16", "--allow-nonfinite"]).status == 0)
    }

    @Test func outputsThatCannotBeWrittenAreRefusedFirst() throws {
        let shop = try Workshop()
        let existing = shop.path("existing.sprint")
        try Data("mine".utf8).write(to: URL(fileURLWithPath: existing))
        let cases: [(String, [String])] = [
            (existing, ["only what sprintpack wrote is ever replaced"]),
            (shop.path("no/such/folder.sprint"), ["No such file"]),
            (shop.folder.path, ["directory"]),
        ]
        for (output, words) in cases {
            let result = try Tool.run(["convert", Workshop.tiny, "-o", output])
            #expect(result.status == 2)
            for word in words { #expect(result.errors.contains(word), "\(result.errors)") }
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: existing)) == Data("mine".utf8))
        #expect(shop.names == ["existing.sprint"])
    }

    @Test func anOutputThatIsAnInputIsRefused() throws {
        let shop = try Workshop()
        let checkpoint = try shop.checkpoint()
        let weights = "\(checkpoint)/\(Self.weights)"
        let before = try Data(contentsOf: URL(fileURLWithPath: weights))
        let link = shop.path("link.sprint")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: weights)
        for output in [weights, link] {
            let result = try Tool.run(["convert", checkpoint, "-o", output, "--force"])
            #expect(result.status == 2)
            #expect(result.errors.contains("one of the inputs"), "\(result.errors)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: weights)) == before)
    }

    @Test(arguments: [
        (["--width", "17"], "multiple of"), (["--height", "120"], "multiple of"), (["--inputs", "missing.safetensors"], "missing.safetensors"),
    ])
    func picturesThatCannotBeMadeAreRefused(options: [String], words: String) throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let result = try Tool.run(["generate", file, "--prompt", "a red circle", "-o", shop.path("x.png")] + options)
        #expect(result.status == 2)
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(shop.names == ["int8.sprint"])
    }

    @Test func packedFilesThatAreNoneAreRefused() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let whole = try Data(contentsOf: URL(fileURLWithPath: file))
        let broken = shop.path("broken.sprint")
        for (content, word) in [
            (Data(), "an empty file"), (whole.prefix(100), "cut short"), (whole.dropLast(64), "cut short"),
            (Data("hello, this is no packed file".utf8), "not-a-packed-file"),
        ] {
            try content.write(to: URL(fileURLWithPath: broken))
            for verb in [
                ["verify", broken], ["generate", broken, "--prompt", "a", "-o", shop.path("x.png")], ["export", broken, "-o", shop.path("x")],
                ["bench", broken],
            ] {
                let result = try Tool.run(verb)
                #expect(result.status == 2, "\(verb) \(result.errors)")
                #expect(result.errors.contains(word), "\(result.errors)")
            }
        }
        #expect(shop.names == ["broken.sprint", "int8.sprint"])
    }
}
