import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// `calibrate`, and `convert --calibration`: words, exit codes and files.
@Suite struct CalibrateTests {
    private static func bytes(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 24) }

    @Test func partsAreGatheredJoinedAndUsed() throws {
        let folder = try TemporaryFolder()
        let mini = Fixtures.path("mini")
        try OutputFile.write(Array("a cat\n\n  a dog  \na red square\n".utf8), to: folder.file("prompts.txt"), kind: .anything, replace: true)
        for part in 1...2 {
            let run = try Tool.run(["calibrate", mini, "-o", folder.file("\(part).cal"), "--prompts", folder.file("prompts.txt"), "--shard", "\(part)/2"])
            #expect(run.status == 0 && run.output.contains("layers, \(3 - part) prompts"), "\(run)")
        }
        let merge = ["calibrate", "--merge", folder.file("1.cal"), folder.file("2.cal"), "-o", folder.file("all.cal"), "--json"]
        #expect(try Tool.run(merge).json()["prompts"]?.integer == 3)
        for threads in ["1", "2"] {
            let output = folder.file("threads\(threads).cal")
            #expect(try Tool.run(["calibrate", mini, "-o", output, "--prompts", folder.file("prompts.txt"), "--threads", threads]).status == 0)
        }
        #expect(try Self.bytes(folder.file("threads1.cal")) == Self.bytes(folder.file("threads2.cal")))

        // The same statistics give the same content.
        var contents: [JSONValue?] = []
        for name in ["a", "b"] {
            let run = try Tool.run(["convert", mini, "-o", folder.file(name), "--calibration", folder.file("all.cal"), "--threads", name == "a" ? "1" : "2"])
            #expect(run.status == 0, "\(run)")
            contents.append(try Tool.run(["inspect", folder.file(name), "--json"]).json()["facts"]?["content hash"])
        }
        #expect(contents[0] != nil && contents[0] == contents[1])
        let verified = try Tool.run(["verify", folder.file("a"), "--against", mini, "-q"])
        #expect(verified.status == 0, "\(verified.errors)")
        let inspected = try Tool.run(["inspect", folder.file("a")])
        #expect(inspected.output.contains("int8-balanced"))
    }

    @Test func whatCannotBeIsSaid() throws {
        let folder = try TemporaryFolder()
        let (mini, odd) = (Fixtures.path("mini"), Fixtures.path("odd"))
        #expect(try Tool.run(["calibrate", mini, "-o", folder.file("mini.cal"), "-q"]).status == 0)
        try OutputFile.write([], to: folder.file("empty.txt"), kind: .anything, replace: true)
        for (arguments, status, words) in [
            (["calibrate", mini, "-o", folder.file("x.cal"), "--shard", "4/3"], 64, "a part such as 3/16"),
            (["calibrate", mini, odd, "-o", folder.file("x.cal")], 64, "--merge joins statistics"),
            (["calibrate", "--merge", folder.file("mini.cal"), "-o", folder.file("x.cal"), "--shard", "1/2"], 64, "statistics alone"),
            (["calibrate", "--merge", folder.file("mini.cal"), folder.file("mini.cal"), "-o", folder.file("x.cal")], 2, "found some twice"),
            (["calibrate", mini, "-o", folder.file("x.cal"), "--prompts", folder.file("empty.txt")], 2, "one on each line"),
            (["calibrate", mini, "-o", folder.file("x.cal"), "--shard", "9/9"], 2, "make fewer parts"),
            (["calibrate", mini, "-o", folder.file("empty.txt"), "--prompts", folder.file("empty.txt"), "--force"], 2, "one on each line"),
            (["convert", odd, "-o", folder.file("x.sprint"), "--calibration", folder.file("mini.cal")], 2, "calibrate this checkpoint"),
            (["convert", mini, "-o", folder.file("x.sprint"), "--components", "all", "--calibration", folder.file("mini.cal")], 2, "other --components"),
            (["calibrate", mini, "-o", folder.file("x.cal"), "--components", "decoder"], 64, "component \"decoder\""),
            (["calibrate", "--merge", folder.file("mini.cal"), "-o", folder.file("x.cal"), "--components", "all"], 64, "statistics alone"),
            (["convert", mini, "-o", folder.file("x.sprint"), "--calibration", folder.file("nowhere.cal")], 2, "No such file"),
            (
                [
                    "convert", mini, "-o", folder.file("x.sprint"), "--calibration",
                    Fixtures.path("mini/transformer/diffusion_pytorch_model-00001-of-00004.safetensors"),
                ], 2, "another safetensors"
            ),
        ] {
            let run = try Tool.run(arguments)
            #expect(run.status == status && run.errors.contains(words), "\(arguments): \(run)")
            #expect(!FileManager.default.fileExists(atPath: folder.file("x.cal")) && !FileManager.default.fileExists(atPath: folder.file("x.sprint")))
        }
    }
}
