import Foundation
import Glibc
import StrictJSON
import TestKit
import Testing

/// What `generate --dry-run` says of memory, held against what the same request took: each stage against the buffers that were counted in it, from
/// both sides, and the whole against what was resident, which must not be more.
@Suite struct MemoryStatementTests {
    @Test(arguments: ["int8", "bf16", "fp32"], [(128, 1), (512, 2), (1024, 1)])
    func theStatementHolds(preset: String, _ size: (side: Int, steps: Int)) throws {
        let shop = try Workshop()
        let file = try shop.packed(preset)
        let request = ["generate", file, "--width", "\(size.side)", "--height", "\(size.side)", "--steps", "\(size.steps)", "--threads", "2", "--json"]
        let stated = try Tool.run(request + ["--dry-run"])
        #expect(stated.status == 0, "\(stated.errors)")
        #expect(shop.names == ["\(preset).sprint"])
        let bytes = try #require(try stated.json()["memory"]?["bytes"]?.integer)
        let drawn = try Tool.run(request + ["--prompt", "a large red circle on a blue background", "-o", shop.path("x.png")])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try drawn.json()["memory"]?["bytes"]?.integer == bytes)
        let taken = try #require(try drawn.json()["peakResidentBytes"]?.integer)
        #expect(taken <= bytes, "stated \(bytes), took \(taken)")
        let stages = try #require(try drawn.json()["memory"]?["stages"]?.array)
        #expect(stages.compactMap { $0["name"]?.string } == ["text encoder", "transformer", "autoencoder's decoder"])
        for stage in stages {
            let stated = try #require(stage["weightBytes"]?.integer) + #require(stage["workingBytes"]?.integer)
            let counted = try #require(stage["peakBufferBytes"]?.integer)
            #expect(counted <= stated && Double(counted) >= 0.25 * Double(stated), "\(stage.text)")
        }
    }
}

/// A limit below what a verb states to need is refused before the work, with both numbers.
@Suite struct ContainerTests {
    /// A control group with a limit for one test, of either version; nil where none can be made.
    private struct Group {
        let folder: String
        let limitFile: String

        init?(limit: Int) {
            for (top, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
                let folder = "\(top)/sprintpack-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
                guard unsafe mkdir(folder, 0o755) == 0 else { continue }
                if (try? Tool.shell("echo \(limit) > \(folder)/\(file)").status) == 0, unsafe access("\(folder)/\(file)", F_OK) == 0 {
                    (self.folder, limitFile) = (folder, file)
                    return
                }
                unsafe rmdir(folder)
            }
            return nil
        }

        func run(_ line: String) throws -> ChildProcess.Result { try Tool.shell("echo $$ > \(folder)/cgroup.procs && exec \"$TOOL\" \(line)") }
        func remove() { unsafe rmdir(folder) }
    }

    static let isAvailable: Bool = {
        guard let group = Group(limit: 1 << 30) else { return false }
        group.remove()
        return true
    }()

    @Test(.enabled(if: isAvailable, "needs control groups that may be made, as root has them")) func everyVerbAsksBeforeItStarts() throws {
        let shop = try Workshop()
        let file = try shop.packed("fp32")
        let group = try #require(Group(limit: 200 << 20))
        defer { group.remove() }
        let generate = "generate \(file) --prompt x --width 2048 --height 2048 -o \(shop.path("x.png"))"
        let refused = try group.run(generate)
        #expect(refused.status == 2, "\(refused.status) \(refused.errors)")
        let stated = try #require(
            try Tool.run(["generate", file, "--width", "2048", "--height", "2048", "--dry-run", "--json"]).json()["memory"]?["bytes"]?.integer)
        #expect(refused.errors.contains("expected \(stated) bytes") && refused.errors.contains("limited to \(200 << 20) bytes"), "\(refused.errors)")
        #expect(shop.names == ["fp32.sprint"])
        let bench = try group.run("bench \(file) --width 2048 --height 2048 --runs 1")
        #expect(bench.status == 2 && bench.errors.contains("out of memory: expected"), "\(bench.status) \(bench.errors)")
        // What fits is done there.
        for line in [
            "convert \(Workshop.tiny) -o \(shop.path("a.sprint")) --preset fp32 -q", "verify \(file) -q", "export \(file) -o \(shop.path("export")) -q",
            "generate \(file) --prompt x -o \(shop.path("small.png")) -q",
        ] {
            let result = try group.run(line)
            #expect(result.status == 0, "\(line): \(result.status) \(result.errors)")
        }
        #expect(FileManager.default.contents(atPath: shop.path("a.sprint")) == FileManager.default.contents(atPath: file))
    }

    @Test(.enabled(if: isAvailable, "needs control groups that may be made, as root has them"), arguments: ["verify", "convert", "export", "compare"])
    func aLimitBelowAllNeedIsRefused(verb: String) throws {
        let shop = try Workshop()
        let file = try shop.packed("fp32")
        let golden = Fixtures.path("tiny-sprint/goldens/steps2.safetensors")
        let group = try #require(Group(limit: 24 << 20))
        defer { group.remove() }
        let line =
            switch verb {
            case "verify": "verify \(file)"
            case "convert": "convert \(Workshop.tiny) -o \(shop.path("a.sprint"))"
            case "export": "export \(file) -o \(shop.path("export"))"
            default: "compare \(golden) \(golden) --with \(file)"
            }
        let result = try group.run(line)
        #expect(result.status == 2, "\(result.status) \(result.errors)")
        #expect(result.errors.contains("out of memory: expected") && result.errors.contains("limited to \(24 << 20) bytes"), "\(result.errors)")
        #expect(shop.names == ["fp32.sprint"])
    }

    /// What verifying states is what it takes, from above.
    @Test func verificationStatesWhatItTakes() throws {
        let shop = try Workshop()
        for verified in [try Tool.run(["verify", try shop.packed("int8"), "--json"]), try Workshop.verified.get().run] {
            let memory = try #require(try verified.json()["memory"])
            let (stated, taken) = (try #require(memory["bytes"]?.integer), try #require(memory["peakResidentBytes"]?.integer))
            #expect(taken <= stated, "stated \(stated), took \(taken)")
        }
    }
}
