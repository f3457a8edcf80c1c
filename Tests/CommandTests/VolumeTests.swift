import Foundation
import TestKit
import Testing

/// Outputs on volumes of all kinds, and kills at every moment: the old file or the new one, and nothing replaced that was not asked for.
@Suite struct VolumeTests {
    @Test(arguments: Volume.poor) func everyVerbWritesThere(volume: Volume) throws {
        let shop = try Workshop()
        let (file, picture, trace, folder) = (shop.path("a.sprint"), shop.path("a.png"), shop.path("a.safetensors"), shop.path("export"))
        let commands = [
            ["convert", Workshop.mini, "-o", file, "-q"] + Workshop.quick,
            ["generate", file, "--prompt", "a circle", "-o", picture, "--trace", trace, "-q"],
            ["export", file, "-o", folder, "-q"],
        ]
        for command in commands {
            let first = try volume.run(command)
            #expect(first.status == 0, "\(command[0]): \(first.errors)")
            let again = try volume.run(command)
            #expect(again.status == 2 && again.errors.contains("exists already"), "\(command[0]): \(again.status) \(again.errors)")
            let forced = try volume.run(command + ["--force"])
            #expect(forced.status == 0, "\(command[0]): \(forced.errors)")
        }
        for _ in 1...2 {
            let report = try volume.run(["verify", file, "--html", shop.path("a.html"), "-q"])
            #expect(report.status == 0, "\(report.errors)")
        }
        #expect(shop.names == ["a.html", "a.png", "a.safetensors", "a.sprint", "export"])
    }

    @Test(.enabled(if: ExFATVolume.isAvailable, "needs root, loop devices, exfatprogs and exfat-fuse")) func everyVerbWritesToARealExFATVolume() throws {
        let (shop, volume) = (try Workshop(), try ExFATVolume())
        let file = try shop.packed("int8")
        for command in [
            ["convert", Workshop.tiny, "-o", "\(volume.path)/a.sprint", "-q", "--no-quality"],
            ["generate", file, "--prompt", "a circle", "-o", "\(volume.path)/a.png", "--trace", "\(volume.path)/a.safetensors", "-q"],
            ["export", file, "-o", "\(volume.path)/export", "-q"],
        ] {
            #expect(try Tool.run(command).status == 0)
            #expect(try Tool.run(command).status == 2)
            #expect(try Tool.run(command + ["--force"]).status == 0)
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: volume.path).sorted()
        #expect(names == ["a.png", "a.safetensors", "a.sprint", "export"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(volume.path)/a.sprint")) == Data(contentsOf: URL(fileURLWithPath: file)))
        // A name that the volume does not take is found out before the work.
        let refused = try Tool.run(["generate", file, "--prompt", "a circle", "-o", "\(volume.path)/a:?.png", "-q"])
        #expect(refused.status == 2 && refused.errors.contains("takes no such name"), "\(refused.errors)")
    }

    @Test(arguments: [Volume.complete] + Volume.poor.suffix(4)) func aKillLeavesTheOldPictureOrTheNewOne(volume: Volume) throws {
        let shop = try Workshop()
        let file = try shop.packed("int8", ["--components", "transformer,vae-decoder,text-encoder,tokenizer"])
        func draw(_ seed: Int, _ name: String) -> [String] {
            ["generate", file, "--prompt", "a circle", "--steps", "1", "--seed", "\(seed)", "-o", shop.path(name), "--force", "-q"]
        }
        func picture(_ name: String) -> Data? { try? Data(contentsOf: URL(fileURLWithPath: shop.path(name))) }
        for (seed, name) in [(1, "old.png"), (2, "new.png")] { #expect(try Tool.run(draw(seed, name)).status == 0) }
        let (old, new) = (try #require(picture("old.png")), try #require(picture("new.png")))
        for hasOld in [true, false] {
            var kills = 0
            for moment in 1...40 {
                if hasOld {
                    try old.write(to: URL(fileURLWithPath: shop.path("a.png")))
                } else {
                    try? FileManager.default.removeItem(atPath: shop.path("a.png"))
                }
                let status = try volume.run(draw(2, "a.png"), killAt: moment).status
                let found = picture("a.png")
                // Without a step that may not replace anything, a free name is taken by an empty file first.
                let isFine = found == new || (hasOld ? found == old : found == nil || found?.isEmpty == true && !volume.isAtomic)
                #expect(isFine, "killed before call \(moment), \(hasOld ? "over" : "without") an old one: \(found?.count ?? -1) bytes")
                guard status != 0 else {
                    #expect(found == new)
                    break
                }
                #expect(status == 1000 + SIGKILL)
                kills += 1
            }
            #expect((1..<40).contains(kills))
        }
    }

    /// An export is exchanged in one step; a volume that cannot moves the old one aside first, where nothing is lost either.
    @Test(arguments: [Volume.complete, Volume.poor[6]]) func aKillLeavesTheOldExportOrTheNewOne(volume: Volume) throws {
        let shop = try Workshop()
        let (one, two) = (shop.path("int8.sprint"), shop.path("bf16.sprint"))
        for (preset, file) in [("int8", one), ("bf16", two)] {
            let options = ["--preset", preset, "--components", "transformer,vae-decoder", "-q"] + Workshop.quick
            #expect(try Tool.run(["convert", Workshop.mini, "-o", file] + options).status == 0)
        }
        let folder = shop.path("export")
        func content(_ path: String) -> Data? { try? Data(contentsOf: URL(fileURLWithPath: "\(path)/transformer/diffusion_pytorch_model.safetensors")) }
        #expect(try Tool.run(["export", two, "-o", shop.path("new"), "-q"]).status == 0)
        #expect(try Tool.run(["export", one, "-o", folder, "-q"]).status == 0)
        let (old, new) = (try #require(content(folder)), try #require(content(shop.path("new"))))
        var kills = 0
        // From the end, where names change hands, to the beginning.
        var last = 1
        while try volume.run(["export", two, "-o", folder, "--force", "-q"], killAt: last).status != 0 {
            #expect(content(folder) == old || content(folder) == new || !volume.isAtomic)
            let everywhere = shop.names.filter { $0 == "export" || $0.hasPrefix(".sprintpack-") }.map { content(shop.path($0)) }
            #expect(everywhere.contains(old) || content(folder) == new, "killed before call \(last): the old export is nowhere")
            for name in shop.names where name == "export" || name.hasPrefix(".sprintpack-") { try FileManager.default.removeItem(atPath: shop.path(name)) }
            #expect(try Tool.run(["export", one, "-o", folder, "-q"]).status == 0)
            (kills, last) = (kills + 1, last + 1)
        }
        #expect(content(folder) == new)
        #expect(kills > 5)
        #expect(shop.names.filter { $0.hasPrefix(".") }.isEmpty)
    }
}
