import Foundation
import Glibc
import TestKit
import Testing

/// Nothing of the user's is lost: what stands where an output should go, what lies beside a model, a result that nobody can read.
@Suite struct NoHarmTests {
    /// Every file below a folder with its content.
    private func contents(_ folder: String) -> [String: Data] {
        var result: [String: Data] = [:]
        for name in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? [] {
            result[name] = FileManager.default.contents(atPath: "\(folder)/\(name)") ?? Data()
        }
        return result
    }

    private func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }

    @Test func anExportReplacesNoCheckpointAndNoForeignFile() throws {
        let shop = try Workshop()
        let (file, checkpoint, folder) = (try shop.packed("int8"), try shop.checkpoint(), shop.path("export"))
        try FileManager.default.createDirectory(atPath: "\(checkpoint)/lora", withIntermediateDirectories: false)
        try write("mine", "\(checkpoint)/lora/mine.safetensors")
        #expect(try Tool.run(["export", file, "-o", folder]).status == 0)
        // Each is something that an export must not touch: a checkpoint, an export that something was added to, in it or below it, or changed in, a link.
        func spoiled(_ name: String, _ change: (String) throws -> Void) throws -> String {
            try FileManager.default.copyItem(atPath: folder, toPath: shop.path(name))
            try change(shop.path(name))
            return shop.path(name)
        }
        let link = shop.path("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder)
        let kept = [
            checkpoint, link, try spoiled("added") { try write("mine", "\($0)/notes.txt") },
            try spoiled("deeper") { try FileManager.default.createDirectory(atPath: "\($0)/vae/mine", withIntermediateDirectories: false) },
            try spoiled("changed") { try write("{}", "\($0)/vae/config.json") },
            try spoiled("same-size") { try patch("\($0)/vae/diffusion_pytorch_model.safetensors", at: 100_000) { $0 ^= 1 } },
            try spoiled("linked") { try FileManager.default.createSymbolicLink(atPath: "\($0)/vae/mine", withDestinationPath: "/etc") },
            try spoiled("unmarked") { try FileManager.default.removeItem(atPath: "\($0)/sprintpack-export.json") },
        ]
        for path in kept {
            let before = contents(path)
            for flags in [[], ["--force"]] {
                let result = try Tool.run(["export", file, "-o", path] + flags)
                #expect(result.status == 2, "\(path)")
                #expect(result.errors.contains("only what sprintpack wrote is ever replaced") && !result.errors.contains("--force"), "\(result.errors)")
            }
            #expect(contents(path) == before, "\(path)")
        }
        #expect(!before(folder).isEmpty)
        // One that nobody touched, and an empty folder, are replaced on request.
        let refused = try Tool.run(["export", file, "-o", folder])
        #expect(refused.status == 2 && refused.errors.contains("pass --force"))
        #expect(try Tool.run(["export", file, "-o", folder + "/", "--force"]).status == 0)
        let empty = shop.path("empty")
        try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
        #expect(try Tool.run(["export", file, "-o", empty, "--force"]).status == 0)
        #expect(contents(empty) == contents(folder))
        #expect(shop.names.filter { $0.hasPrefix(".") }.isEmpty)
    }

    private func before(_ folder: String) -> [String: Data] { contents(folder) }

    @Test func noOutputReplacesAFileOfAnotherKind() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let golden = Fixtures.path("tiny-sprint/goldens/steps1.safetensors")
        let drawn = try Tool.run(["generate", file, "--prompt", "a circle", "-o", shop.path("own.png"), "--trace", shop.path("own.safetensors"), "-q"])
        #expect(drawn.status == 0, "\(drawn.errors)")
        // A user's notes, another engine's trace, a picture without this tool's mark, and this tool's own outputs of another kind.
        try write("mine", shop.path("notes"))
        try FileManager.default.copyItem(atPath: golden, toPath: shop.path("golden.safetensors"))
        try FileManager.default.copyItem(atPath: Fixtures.path("pictures/int8.png"), toPath: shop.path("photo.png"))
        let outputs: [(kind: String, arguments: [String])] = [
            ("own.sprint", ["convert", Workshop.tiny, "--force", "-o"]), ("own.png", ["generate", file, "--prompt", "a circle", "--force", "-o"]),
            ("own.safetensors", ["generate", file, "--prompt", "a circle", "--force", "-o", shop.path("x.png"), "--trace"]),
            ("own.html", ["verify", file, "--html"]), ("own.html", ["compare", golden, golden, "--html"]),
        ]
        for (kind, arguments) in outputs {
            for name in ["notes", "golden.safetensors", "photo.png", "own.png", "own.safetensors", "int8.sprint"] where name != kind {
                if kind == "own.sprint" && name == "int8.sprint" { continue }
                let before = FileManager.default.contents(atPath: shop.path(name))
                let result = try Tool.run(arguments + [shop.path(name)])
                #expect(result.status == 2, "\(arguments) \(name): \(result.errors)")
                #expect(!result.errors.contains("--force"), "\(result.errors)")
                #expect(FileManager.default.contents(atPath: shop.path(name)) == before, "\(arguments) \(name)")
            }
        }
        #expect(!shop.names.contains("x.png"))
        // Its own kind is, and so is an empty file, as mktemp leaves one; a link is not.
        try write("", shop.path("empty"))
        let redraw = ["generate", file, "--prompt", "a circle", "--steps", "1", "--force", "-q", "-o"]
        for name in ["own.png", "empty"] { #expect(try Tool.run(redraw + [shop.path(name)]).status == 0, "\(name)") }
        try FileManager.default.createSymbolicLink(atPath: shop.path("link"), withDestinationPath: shop.path("own.png"))
        let linked = try Tool.run(redraw + [shop.path("link")])
        #expect(linked.status == 2 && linked.errors.contains("a link to"), "\(linked.errors)")
    }

    @Test func pictureAndTraceAreTwoFiles() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        for trace in ["x.png", "./x.png"] {
            let result = try Tool.run(["generate", file, "--prompt", "a", "-o", shop.path("x.png"), "--trace", shop.path(trace)])
            #expect(result.status == 64 && result.errors.contains("--trace: expected another file"), "\(result.errors)")
        }
        #expect(shop.names == ["int8.sprint"])
    }

    @Test func smallFilesThatNoModelNeedsAreNotCarried() throws {
        let shop = try Workshop()
        let (clean, checkpoint) = (try shop.packed("bf16"), try shop.checkpoint())
        for folder in ["", "transformer/", "vae/", "text_encoder/", "tokenizer/", "scheduler/"] {
            for name in ["._config.json", ".DS_Store", "._model.safetensors"] { try write("\0\u{5}\u{16}\u{7}", "\(checkpoint)/\(folder)\(name)") }
        }
        try write("no JSON", "\(checkpoint)/transformer/config-old.json")
        try write("{}", "\(checkpoint)/transformer/config (1).json")
        try FileManager.default.createDirectory(atPath: "\(checkpoint)/vae/x.json", withIntermediateDirectories: false)
        let file = shop.path("a.sprint")
        let converted = try Tool.run(["convert", checkpoint, "-o", file, "-q", "--preset", "bf16", "--no-quality"])
        #expect(converted.status == 0, "\(converted.errors)")
        #expect(FileManager.default.contents(atPath: file) == FileManager.default.contents(atPath: clean))
        #expect(try Tool.run(["verify", clean, "--against", checkpoint, "-q"]).status == 0)
        // One that the model does need must be a file.
        try FileManager.default.removeItem(atPath: "\(checkpoint)/vae/config.json")
        try FileManager.default.createDirectory(atPath: "\(checkpoint)/vae/config.json", withIntermediateDirectories: false)
        let refused = try Tool.run(["convert", checkpoint, "-o", shop.path("b.sprint")])
        #expect(refused.status == 2 && refused.errors.contains("vae/config.json: expected a regular file"), "\(refused.errors)")
    }

    @Test func aPictureGoesToNoFileOfAnotherFormat() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        for name in ["x.jpg", "x.JPEG", "x.webp"] {
            let result = try Tool.run(["generate", file, "--prompt", "a", "-o", shop.path(name)])
            #expect(result.status == 64 && result.errors.contains("expected the name of a PNG"), "\(result.errors)")
        }
        let piped = try Tool.shell("cd \(shop.folder.path) && \"$TOOL\" generate \(file) --prompt 'a circle' -o -")
        #expect(piped.status == 0)
        #expect(piped.bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) && piped.bytes.suffix(8).starts(with: Array("IEND".utf8)))
        #expect(try Tool.run(["generate", file, "--prompt", "a", "-o", "-", "--json"]).status == 64)
        #expect(shop.names == ["int8.sprint"])
    }

    @Test(arguments: ["> /dev/full", ">&-"]) func aCompleteOutputIsSaidToBeWhereTheResultCannotBeWritten(redirection: String) throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        for (line, output) in [
            ("convert \(Workshop.tiny) \(Workshop.quick.joined(separator: " "))", "a.sprint"), ("generate \(file) --prompt 'a circle'", "a.png"),
            ("generate \(file) --prompt 'a circle' --json", "b.png"),
            ("export \(file)", "export"),
        ] {
            let result = try Tool.shell("\"$TOOL\" \(line) -o \(shop.path(output)) \(redirection)")
            #expect(result.status == 2)
            let lines = result.errors.split(separator: "\n")
            #expect(
                lines.count == 1 && result.errors.contains("standard output: ") && result.errors.contains("complete: \(shop.path(output))"), "\(result.errors)")
        }
        #expect(try Tool.run(["verify", shop.path("a.sprint"), "-q"]).status == 0)
        #expect(FileManager.default.contents(atPath: shop.path("a.png"))?.suffix(8).starts(with: Array("IEND".utf8)) == true)
        let plain = try Tool.shell("\"$TOOL\" inspect \(file) \(redirection)")
        #expect(plain.status == 2 && plain.errors.contains("standard output: "), "\(plain.errors)")
        // Nobody is left to be told: the work is done all the same.
        #expect(try Tool.shell("\"$TOOL\" generate \(file) --prompt 'a circle' -o \(shop.path("c.png")) <&- >&- 2>&-").status == 2)
        #expect(FileManager.default.contents(atPath: shop.path("c.png")) == FileManager.default.contents(atPath: shop.path("a.png")))
    }
}
