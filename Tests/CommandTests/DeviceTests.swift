import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// `--device`: the real binary on the stand-in of a GPU's driver, and what it says where there is none that it can use.
@Suite(.serialized) struct DeviceTests {
    private static let card = [Tool.driverVariable: StandIn.library]
    private static let small = ["--width", "32", "--height", "32", "--steps", "1", "--prompt", "a large red circle on a blue background"]

    /// What a picture takes, and no more to convert.
    private static let alone = ["--components", "transformer,vae-decoder,text-encoder,tokenizer", "--calibration", "none"]

    private static func pixels(_ path: String) throws -> [UInt8] { try PNGImage.read(InputFile(path: path)).rgb }

    @Test("a picture of the GPU is at most one level from the CPU's, and says where it was drawn", arguments: ["fp32", "bf16", "int8"])
    func pictures(_ preset: String) throws {
        let shop = try Workshop()
        let file = try shop.packed(preset, Self.alone)
        let (near, far) = (shop.path("cpu.png"), shop.path("cuda.png"))
        let cpu = try Tool.run(["generate", file, "-o", near] + Self.small)
        #expect(cpu.status == 0 && cpu.output.contains(" s on the CPU ("), "\(cpu)")
        let cuda = try Tool.run(["generate", file, "-o", far, "--device", "cuda", "--json"] + Self.small, environment: Self.card)
        #expect(cuda.status == 0, "\(cuda.errors)")
        let name = try #require(try cuda.json()["device"]?.string)
        #expect(try name.contains("(driver for CUDA 12.4)") && cuda.json()["settings"]?["device"]?.string == name)
        let stated = try #require(try cuda.json()["memory"]?["stages"]?.array?.compactMap { $0["deviceBytes"]?.integer }.max())
        let taken = try #require(try cuda.json()["peakDeviceBytes"]?.integer)
        #expect(taken <= stated && 4 * taken >= stated, "stated \(stated), took \(taken)")
        let (expected, found) = (try Self.pixels(near), try Self.pixels(far))
        #expect(expected.count == found.count)
        let differences = zip(expected, found).map { abs(Int($0) - Int($1)) }
        if preset == "int8" {
            // Where a rounding makes one integer another the picture moves, as it does on the CPU with and without the prefix cache.
            #expect(differences.reduce(0) { $0 + $1 * $1 } <= differences.count * 6, "40 dB")
        } else {
            #expect(differences.allSatisfy { $0 <= 1 }, "\(differences.count { $0 > 1 }) of \(differences.count)")
        }
        guard preset == "int8" else { return }
        // A card that can be used is taken without being asked for, and not where it is refused.
        let auto = try Tool.run(["generate", file, "-o", far, "--force"] + Self.small, environment: Self.card)
        #expect(try auto.status == 0 && auto.output.contains(" s on \(name)") && Self.pixels(far) == found, "\(auto)")
        let refused = try Tool.run(["generate", file, "-o", far, "--force", "--device", "cpu"] + Self.small, environment: Self.card)
        #expect(try refused.status == 0 && InputFile(path: far).contents(limit: 1 << 24) == InputFile(path: near).contents(limit: 1 << 24))
    }

    @Test("verify proves the file on the GPU too, and the report names card, driver and kernels") func verify() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let run = try Tool.run(["verify", file, "--device", "cuda", "--json", "--html", shop.path("r.html")], environment: Self.card)
        #expect(run.status == 0, "\(run.errors)\(run.output.prefix(2000))")
        let environment = try #require(try run.json()["environment"])
        let name = try #require(environment["device"]?.string)
        #expect(environment["driver"]?.string?.contains("12.4") == true && environment["GPU kernels"]?.string?.contains(/[0-9a-f]{64}/) == true)
        let claims = try #require(try run.json()["rungs"]?.array).compactMap { $0["claim"]?.string }
        #expect(claims.count { $0.contains(name) } > 5, "\(claims)")
        #expect(String(decoding: try InputFile(path: shop.path("r.html")).contents(limit: 1 << 24), as: UTF8.self).contains(name))
        #expect(try run.json()["command"]?.string?.hasSuffix("--device cuda") == true)
        // Unless it is asked for, the proof is the same everywhere.
        let auto = try Tool.run(["verify", file, "--json"], environment: Self.card)
        #expect(try auto.status == 0 && auto.json()["environment"]?["device"] == nil)
    }

    @Test("a dry run states the GPU's memory beside the machine's, and refuses where the card has less, with both figures") func dryRun() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8", Self.alone)
        let run = try Tool.run(["generate", file, "--dry-run", "--device", "cuda", "--json"], environment: Self.card)
        #expect(run.status == 0, "\(run)")
        let device = try #require(try run.json()["device"])
        let needed = try #require(device["bytes"]?.integer)
        #expect(needed > 1 << 20 && needed < 1 << 30 && device["total"]?.integer == 8 << 30)
        #expect(try run.json()["memory"]?["stages"]?.array?.allSatisfy { $0["deviceBytes"]?.integer ?? 0 > 0 } == true)
        let text = try Tool.run(["generate", file, "--dry-run", "--device", "cuda"], environment: Self.card)
        #expect(text.status == 0 && text.output.contains("GPU memory needed: ") && text.output.contains("on the GPU"), "\(text)")
        for more in [["--dry-run"], ["--prompt", "x", "-o", shop.path("x.png")]] {
            let refused = try Tool.run(["generate", file, "--device", "cuda:2", "--json"] + more, environment: Self.card)
            let message = try #require(try refused.json()["error"]?["message"]?.string)
            #expect(refused.status == 2 && message.contains("expected \(needed) bytes") && message.contains("of \(1 << 20) free"), "\(refused)")
        }
        #expect(shop.names == ["int8.sprint"])
    }

    @Test("bench has the GPU's stages and layers") func bench() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8", Self.alone)
        let run = try Tool.run(
            ["bench", file, "--device", "cuda", "--runs", "1", "--steps", "1", "--width", "64", "--height", "64", "--layers", "--json"], environment: Self.card)
        #expect(run.status == 0, "\(run)")
        #expect(try run.json()["device"]?.string?.contains("CUDA 12.4") == true && run.json()["layers"]?.array?.count ?? 0 > 8)
    }

    @Test("statistics say what drew") func calibrate() throws {
        let folder = try TemporaryFolder()
        try OutputFile.write(Array("a cat\n".utf8), to: folder.file("prompts.txt"), kind: .anything, replace: true)
        let run = try Tool.run(
            [
                "calibrate", Fixtures.path("mini"), "-o", folder.file("a.cal"), "--prompts", folder.file("prompts.txt"), "--no-impacts", "--device", "cuda",
                "--json",
            ], environment: Self.card)
        #expect(run.status == 0, "\(run)")
        let name = try #require(try run.json()["device"]?.string)
        #expect(String(decoding: try InputFile(path: folder.file("a.cal")).contents(limit: 1 << 26), as: UTF8.self).contains(name))
    }

    @Test(
        "what cannot be used is told in one sentence, and nothing is written",
        arguments: [
            (["--device", "gpu"], 64, "--device"), (["--device", "cuda:"], 64, "--device"), (["--device", "cuda:01"], 64, "--device"),
            (["--device", "cuda:-1"], 64, "--device"), (["--device", "cuda:7"], 2, "there is no GPU 7: expected a number from 0 to 2"),
            (["--device", "cuda:1"], 2, "is too old: expected compute capability 8.0"),
        ])
    func refusals(_ options: [String], _ status: Int32, _ words: String) throws {
        let folder = try TemporaryFolder()
        for verb in [
            ["generate", "x.sprint", "--prompt", "a", "-o", folder.file("x.png")], ["verify", "x.sprint"], ["bench", "x.sprint"],
            ["convert", "x", "-o", folder.file("x.sprint")], ["calibrate", "x", "-o", folder.file("x.cal")],
        ] {
            let run = try Tool.run(verb + options, environment: Self.card)
            #expect(run.status == status && run.errors.contains(words) && run.output.isEmpty, "\(run)")
            if status == 2 { #expect(run.errors.split(separator: "\n").count == 1 && run.errors.components(separatedBy: words).count == 2, "\(run)") }
        }
        #expect(try Paths.entries(of: folder.path) == [])
    }

    @Test("without a driver cuda is refused, and auto is the CPU without a word") func noDriver() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8", Self.alone)
        let run = try Tool.run(["generate", file, "--device", "cuda", "-o", shop.path("x.png")] + Self.small)
        #expect(run.status == 2 && run.errors.hasPrefix("sprintpack: error: no NVIDIA driver was found") && run.output.isEmpty, "\(run)")
        #expect(shop.names == ["int8.sprint"])
        let auto = try Tool.run(["generate", file, "-o", shop.path("x.png")] + Self.small)
        #expect(auto.status == 0 && auto.errors.isEmpty && auto.output.contains(" s on the CPU ("), "\(auto)")
    }
}
