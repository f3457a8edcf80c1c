import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// Several pictures in one run, and what may be said where other tools say it.
@Suite struct PictureSeriesTests {
    private let shop: Workshop
    private let file: String

    init() throws {
        shop = try Workshop()
        file = try shop.packed("bf16", ["--components", "transformer,vae-decoder,text-encoder,tokenizer"])
    }

    private func generate(_ arguments: [String]) throws -> ChildProcess.Result { try Tool.run(["generate", file, "--steps", "1"] + arguments) }

    private func pixels(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: shop.path(name))) }

    @Test func eachPromptIsDrawnWithEachSeed() throws {
        let result = try generate(["--prompt", "one", "--prompt", "two", "--seed", "3", "--seed", "4,5", "-o", shop.path("p.png"), "--json"])
        #expect(result.status == 0, "\(result.errors)")
        let pictures = try #require(try result.json()["pictures"]?.array)
        #expect(pictures.compactMap { $0["output"]?.string } == (1...6).map { shop.path("p-\($0).png") })
        #expect(pictures.compactMap { $0["settings"]?["prompt"]?.string } == ["one", "one", "one", "two", "two", "two"])
        #expect(pictures.compactMap { $0["settings"]?["seed"]?.integer } == [3, 4, 5, 3, 4, 5])
        // Each is the picture that it is alone, whatever the engine held from the ones before.
        for (number, prompt, seed) in [(1, "one", "3"), (6, "two", "5")] {
            #expect(try generate(["--prompt", prompt, "--seed", seed, "-o", shop.path("alone.png"), "--force"]).status == 0)
            #expect(try pixels("alone.png") == pixels("p-\(number).png"))
        }
        #expect(shop.names == ["alone.png", "bf16.sprint"] + (1...6).map { "p-\($0).png" })
        let lines = try generate(["--prompt", "one", "--seed", "3,4", "-o", shop.path("p.png"), "--force"]).output.split(separator: "\n")
        #expect(lines.count == 2 && lines[1].contains("p-2.png  ") && lines[1].contains(", seed 4, "))
    }

    @Test func aListOfPromptsIsNumberedSoThatNamesSort() throws {
        let list = shop.path("list.txt")
        try (1...10).map { "prompt \($0)\n" }.joined().write(toFile: list, atomically: true, encoding: .utf8)
        let result = try generate(["--prompts", list, "-o", shop.path("q"), "--quiet"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(shop.names.filter { $0.hasPrefix("q-") } == (1...10).map { $0 < 10 ? "q-0\($0)" : "q-10" })
    }

    @Test func noPictureIsReplacedUnasked() throws {
        try Data("mine".utf8).write(to: URL(fileURLWithPath: shop.path("p-2.png")))
        for force in [[], ["--force"]] {
            let result = try generate(["--prompt", "one", "--seed", "1,2", "-o", shop.path("p.png")] + force)
            #expect(result.status == 2 && result.errors.contains("p-2.png"), "\(result.errors)")
            // Found out before the first was drawn.
            #expect(shop.names == ["bf16.sprint", "p-2.png"])
        }
    }

    @Test func whatIsOfOnePictureIsRefusedForSeveral() throws {
        for arguments in [["--trace", shop.path("t.safetensors"), "-o", shop.path("p.png")], ["-o", "-"]] {
            let result = try generate(["--prompt", "one", "--seed", "1,2"] + arguments)
            #expect(result.status == 64 && result.errors.contains("2"), "\(result.errors)")
        }
        #expect(try generate(["--prompt", "one", "--prompts", "list.txt", "-o", shop.path("p.png")]).status == 64)
        #expect(shop.names == ["bf16.sprint"])
    }

    /// `torch.Generator().manual_seed(-2).initial_seed()` is 2^64 - 2.
    @Test func seedsAreThoseOfTorchOrDrawn() throws {
        func seed(_ word: [String]) throws -> JSONValue? {
            let result = try generate(["--prompt", "one", "-o", shop.path("p.png"), "--force", "--json"] + word)
            #expect(result.status == 0, "\(result.errors)")
            return try result.json()["settings"]?["seed"]
        }
        #expect(try seed(["--seed", "-2"]) == "18446744073709551614")
        #expect(try seed(["--seed=-9223372036854775808"]) == "9223372036854775808")
        #expect(try seed(["--seed", "18446744073709551615"]) == "18446744073709551615")
        #expect(try seed([]) == 0)
        let drawn = try [["--seed", "-1"], ["--seed=-1"], ["--seed", "random"]].map { try #require(try seed($0)?.integer) }
        #expect(drawn.allSatisfy { (0...0xFFFF_FFFF).contains($0) } && Set(drawn).count > 1, "\(drawn)")
        // What is said draws the same again.
        let last = try pixels("p.png")
        _ = try seed(["--seed", "\(drawn[2])"])
        #expect(try pixels("p.png") == last)
        for word in ["1.5", "", "1,,2", "18446744073709551616", "-9223372036854775809", "soon"] {
            #expect(try generate(["--prompt", "one", "--seed", word, "-o", shop.path("x.png")]).status == 64, "\(word)")
        }
    }

    @Test func promptsMayBeginWithADash() throws {
        for prompt in ["- a red circle", "--ar 16:9 x", "-"] {
            let result = try generate(["--prompt", prompt, "--guidance", "-1", "-o", shop.path("p.png"), "--force", "--json"])
            #expect(try result.json()["settings"]?["prompt"]?.string == prompt, "\(result.errors)")
        }
    }
}
