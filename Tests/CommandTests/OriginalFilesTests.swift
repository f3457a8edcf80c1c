import Files
import Foundation
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// Files of the authors from the command line: .pth, single safetensors, autoencoders of mit-han-lab; and files that want to do harm.
@Suite struct OriginalFilesTests {
    private static let mini = Fixtures.path("mini")
    private static let quick = ["--preset", "int8", "--no-quality", "--calibration", "none", "--quiet"]

    private static func transformer() throws -> [TorchArchive.Weight] { try OriginalWeights.transformer(Paths.join(mini, "transformer")) }

    @Test("a .pth becomes the file that its folder becomes, and both prove it") func roundTrip() throws {
        let folder = try TemporaryFolder()
        let pth = try folder.put(TorchArchive([("state_dict", try Self.transformer())]).bytes, "sprint.pth")
        let vae = try folder.put(
            TorchArchive([("", try OriginalWeights.autoencoder(Paths.join(Self.mini, "vae"), down: "main.conv", encoderShortcut: true))]).bytes, "dc-ae.pth")
        let (ours, theirs) = (folder.file("pth.sprint"), folder.file("folder.sprint"))
        let converted = try Tool.run(["convert", pth, "--base", Self.mini, "--vae", vae, "-o", ours] + Self.quick)
        #expect(converted.status == 0, "\(converted.errors)")
        #expect(try Tool.run(["convert", Self.mini, "-o", theirs] + Self.quick).status == 0)
        for (file, against) in [(ours, [pth, "--base", Self.mini, "--vae", vae]), (theirs, [Self.mini, "--transformer", pth])] {
            let verified = try Tool.run(["verify", file, "-q", "--against"] + against)
            #expect(verified.status == 0, "\(against): \(verified.errors)")
        }
        var traces: [[String: [UInt8]]] = []
        for file in [ours, theirs] {
            let trace = folder.file("trace.safetensors")
            let drawn = try Tool.run(
                ["generate", file, "--prompt", "a red circle", "--steps", "1", "--trace", trace, "-o", folder.file("picture.png"), "-q", "--force"])
            #expect(drawn.status == 0, "\(drawn.errors)")
            let probes = try SafetensorsFile.open(trace)
            traces.append(Dictionary(uniqueKeysWithValues: try probes.header.entries.map { ($0.name, try probes.read($0.name).contents) }))
        }
        #expect(traces[0]["image_u8"] != nil && traces[0] == traces[1])
        // Another model under the same names is told from it.
        let changed = try Self.transformer().map { weight in
            var weight = weight
            if weight.name == "blocks.1.attn.qkv.weight" { weight.bytes[0] ^= 1 }
            return weight
        }
        let other = try folder.put(TorchArchive([("state_dict", changed)]).bytes, "other.pth")
        let failed = try Tool.run(["verify", ours, "--against", other, "--base", Self.mini])
        #expect(failed.status == 1)
        #expect(failed.output.contains("transformer_blocks.1.attn1.to_q.weight"), "\(failed.output.prefix(2000))")
    }

    @Test("what is left out is listed with its reason") func leftOut() throws {
        let folder = try TemporaryFolder()
        let weights = try Self.transformer()
        let pth = try folder.put(TorchArchive([("state_dict", weights), ("state_dict_ema", weights), ("optimizer", [])]).bytes, "sprint.pth")
        let dry = try Tool.run(["convert", pth, "--base", Self.mini, "--dry-run"])
        #expect(dry.status == 0, "\(dry.errors)")
        for words in ["\"pos_embed\": positions", "\"logvar_linear.weight\", \"logvar_linear.bias\"", "--weights ema", "\"optimizer\""] {
            #expect(dry.output.contains(words), "\(dry.output)")
        }
        let json = try Tool.run(["convert", pth, "--base", Self.mini, "--dry-run", "--json", "--weights", "ema"]).json()
        let names = json["leftOut"]?.array?.compactMap { $0["name"]?.string }
        #expect(names?.sorted() == ["logvar_linear.bias", "logvar_linear.weight", "optimizer", "pos_embed", "state_dict", "y_embedder.y_embedding"])
        #expect(try Tool.run(["convert", Self.mini, "--dry-run", "--json"]).json()["leftOut"] == [])
    }

    @Test("inspect lists a torch file, and a checkpoint that is put together") func inspect() throws {
        let folder = try TemporaryFolder()
        let pth = try folder.put(TorchArchive([("state_dict", try Self.transformer())]).bytes, "sprint.pth")
        let listed = try Tool.run(["inspect", pth, "--tensors"])
        #expect(listed.status == 0 && listed.output.contains("torch file") && listed.output.contains("blocks.0.attn.qkv.weight"), "\(listed)")
        #expect(try Tool.run(["inspect", pth, "--json"]).json()["totals"]?.array?.first?["part"] == "state_dict")
        let whole = try Tool.run(["inspect", pth, "--base", Self.mini, "--tensors"])
        #expect(whole.status == 0 && whole.output.contains("transformer_blocks.0.attn1.to_q.weight") && whole.output.contains("pos_embed"), "\(whole)")
        #expect(try Tool.run(["inspect", Fixtures.path("torch/training.pth")]).output.contains("optimizer"))
    }

    @Test("calibrate and compare take the same words") func otherVerbs() throws {
        let folder = try TemporaryFolder()
        let pth = try folder.put(TorchArchive([("state_dict", try Self.transformer())]).bytes, "sprint.pth")
        let prompts = try folder.put(Array("a cat\n".utf8), "prompts.txt")
        for (name, checkpoint) in [("pth", [pth, "--base", Self.mini]), ("folder", [Self.mini])] {
            let run = try Tool.run(["calibrate"] + checkpoint + ["-o", folder.file("\(name).cal"), "--prompts", prompts, "-q"])
            #expect(run.status == 0, "\(run.errors)")
        }
        func bytes(_ name: String) throws -> [UInt8] { try InputFile(path: folder.file(name)).contents(limit: 1 << 26) }
        #expect(try bytes("pth.cal") == bytes("folder.cal"))
        let trace = Fixtures.path("traces/mini-float32.safetensors")
        let compared = try Tool.run(["compare", trace, trace, "--with", pth, "--base", Self.mini])
        #expect(compared.status == 0, "\(compared.errors)\(compared.output.prefix(600))")
    }

    @Test(
        "words that do not go together",
        arguments: [
            (["convert", "x.pth", "--base", "b", "--transformer", "y.pth", "-o", "x.sprint"], 64, "--base"),
            (["convert", Fixtures.path("mini"), "--weights", "ema", "-o", "x.sprint"], 64, "--weights"),
            (["convert", Fixtures.path("mini"), "--weights", "best", "-o", "x.sprint"], 64, "--weights"),
            (["verify", "x.sprint", "--base", "b"], 64, "--against"),
            (["convert", Fixtures.path("mini"), "--text-encoder", "nowhere", "--dry-run"], 2, "nowhere"),
            (["compare", "a", "b", "--vae", "v"], 64, "--with"),
            (["calibrate", "--merge", "a.cal", "--base", "b", "-o", "x.cal"], 64, "statistics alone"),
            (["convert", Fixtures.path("torch/views.pth"), "-o", "x.sprint"], 2, "needs --base"),
            (["convert", Fixtures.path("mini"), "--base", Fixtures.path("mini"), "-o", "x.sprint"], 2, "found a folder"),
            (["convert", Fixtures.path("torch/legacy.pth"), "--base", Fixtures.path("mini"), "-o", "x.sprint"], 2, "save it again"),
            (["convert", Fixtures.path("torch/training.pth"), "--base", Fixtures.path("mini"), "-o", "x.sprint"], 2, "x_embedder.proj.weight"),
            (["inspect", Fixtures.path("torch/module.pth")], 2, "torch.nn.modules.linear.Linear"),
            (["convert", Fixtures.path("nowhere.pth"), "--base", Fixtures.path("mini"), "-o", "x.sprint"], 2, "No such file"),
        ] as [([String], Int32, String)])
    func words(arguments: [String], status: Int32, words: String) throws {
        let result = try Tool.run(arguments)
        #expect(result.status == status && result.errors.contains(words), "\(result.errors)")
    }

    // MARK: Harm

    /// What a file wants to do, and the words that it is refused with.
    struct Hostile: CustomTestStringConvertible, Sendable {
        let name: String
        let words: String
        let bytes: @Sendable (_ trace: String) -> [UInt8]
        var testDescription: String { name }

        init(_ name: String, _ words: String, _ bytes: @escaping @Sendable (String) -> [UInt8]) { (self.name, self.words, self.bytes) = (name, words, bytes) }

        /// A file of this pickle.
        static func pickle(_ name: String, _ words: String, _ build: @escaping @Sendable (inout PickleText, String) -> Void) -> Hostile {
            Hostile(name, words) { trace in
                var pickle = PickleText()
                build(&pickle, trace)
                return archive(pickle.finished).bytes
            }
        }

        /// A file whose archive is changed.
        static func zip(_ name: String, _ words: String, _ change: @escaping @Sendable (inout RawZip) -> Void) -> Hostile {
            Hostile(name, words) { _ in
                var zip = archive(PickleText.weights())
                change(&zip)
                return zip.bytes
            }
        }

        static func tensor(_ name: String, _ words: String, count: Int = 6, offset: Int = 0, sizes: [Int], strides: [Int]) -> Hostile {
            Hostile(name, words) { _ in archive(PickleText.weights { $0.tensor("0", count: count, offset: offset, sizes: sizes, strides: strides) }).bytes }
        }

        private static func archive(_ pickle: [UInt8]) -> RawZip {
            RawZip([.init("model/data.pkl", pickle), .init("model/byteorder", Array("little".utf8)), .init("model/data/0", [UInt8](repeating: 1, count: 24))])
        }
    }

    static let hostile: [Hostile] = [
        .pickle("REDUCE of os.system", "os.system") { pickle, trace in
            pickle.global("os", "system")
            pickle.mark()
            pickle.text("touch \(trace)")
            pickle.raw("tR")
        },
        .pickle("INST", "INST") { pickle, trace in
            pickle.mark()
            pickle.text("touch \(trace)")
            pickle.raw("ios\nsystem\n")
        },
        .pickle("OBJ", "os.system") { pickle, trace in
            pickle.raw("(cos\nsystem\n")
            pickle.text("touch \(trace)")
            pickle.raw("o")
        },
        .pickle("BUILD with __setstate__", "BUILD") { pickle, _ in
            pickle.raw("ccollections\nOrderedDict\n}")
            pickle.text("__setstate__")
            pickle.raw("ccollections\nOrderedDict\nsb")
        },
        .pickle("a pickle inside", "_pickle.loads") { pickle, trace in
            pickle.raw("c_pickle\nloads\n")
            pickle.text("cos\nsystem\n(S'touch \(trace)'\ntR.")
            pickle.raw([0x85, 0x52])
        },
        .pickle("a class of numpy that is none", "numpy.load") { pickle, _ in pickle.raw("cnumpy\nload\n)R") },
        .pickle("STACK_GLOBAL", "STACK_GLOBAL") { pickle, _ in
            pickle.text("os")
            pickle.text("system")
            pickle.raw([0x93])
        },
        .pickle("NEWOBJ", "NEWOBJ") { pickle, _ in pickle.raw(Array("ccollections\nOrderedDict\n)".utf8) + [0x81]) },
        .pickle("EXT1", "EXT1") { pickle, _ in pickle.raw([0x82, 1]) },
        .pickle("a memo of 2^32", "PUT") { pickle, _ in pickle.raw([0x7D, 0x72, 0xFE, 0xFF, 0xFF, 0xFF]) },
        .pickle("a tuple in itself", "a list") { pickle, _ in pickle.raw([0x5D, 0x71, 0, 0x68, 0, 0x85, 0x71, 1, 0x61]) },
        .pickle("a tuple doubled 2^60 times", "a tuple") { pickle, _ in
            pickle.raw([0x29])
            for index in 0..<60 as Range<UInt8> { pickle.raw([0x71, index, 0x68, index, 0x86]) }
        },
        .pickle("nesting of 100,000", "a list") { pickle, _ in
            pickle.raw([UInt8](repeating: 0x5D, count: 100_000) + [UInt8](repeating: 0x61, count: 99_999))
        },
        .pickle("a million empty tuples", "instructions") { pickle, _ in pickle.raw([UInt8](repeating: 0x29, count: 1_100_000)) },
        .zip("names that disagree", "the same name") { $0.entries[0].localName = "model/data.pkm" },
        .zip("checksums that disagree", "the same checksum") { $0.entries[0].localChecksum = 7 },
        .zip("a checksum that is wrong", "damaged") { $0.entries[0].checksum = 7 },
        .zip("an entry twice", "twice") { $0.entries.append($0.entries[2]) },
        .zip("two pickles", "one data.pkl") { $0.entries.append(.init("other/data.pkl", [0x80, 2, 0x7D, 0x2E])) },
        .zip("deflated", "deflated") { $0.entries[2].method = 8 },
        .zip("encrypted", "encrypted") { $0.entries[2].flags |= 1 },
        .zip("overlapping", "behind its data") { zip in
            zip.entries[1].byteCount = 30
            zip.entries[1].storedByteCount = 30
        },
        .zip("64-bit lies", "64-bit") { $0.entries[2].centralExtra = [1, 0, 16, 0] + [UInt8](repeating: 0xFF, count: 16) },
        .zip("something appended", "end record") { $0.tail = Array("PK".utf8) },
        Hostile("cut off", "end record") { _ in
            let bytes = RawZip([.init("model/data.pkl", PickleText.weights())]).bytes
            return Array(bytes[..<(bytes.count / 2)])
        },
        .zip("a storage that is missing", "model/data/0") { $0.entries[2].name = "model/data/1" },
        .tensor("strides beyond the storage", "a view inside", sizes: [2, 3], strides: [1 << 40, 1]),
        .tensor("a negative offset", "offset", offset: -4, sizes: [2], strides: [1]),
        .tensor("a size of 2^124", "2^63", sizes: [1 << 62, 1 << 62], strides: [0, 0]),
        .tensor("a storage of another size", "24 bytes", count: 7, sizes: [7], strides: [1]),
    ]

    @Test("harm is refused by name, and nothing is executed", arguments: hostile) func harm(hostile: Hostile) throws {
        let folder = try TemporaryFolder()
        let trace = folder.file("executed")
        let file = try folder.put(hostile.bytes(trace), "model.pth")
        for arguments in [["convert", file, "--base", Self.mini, "-o", folder.file("x.sprint")], ["inspect", file]] {
            let began = ContinuousClock.now
            let result = try Tool.run(arguments)
            #expect(result.status == 2 && result.errors.contains(hostile.words) && result.errors.contains(file), "\(result.errors)")
            // The bound is 2 s on a machine that does nothing else.
            #expect(ContinuousClock.now - began < .seconds(20))
        }
        #expect(!Paths.exists(trace))
        #expect(try Paths.entries(of: folder.path) == ["model.pth"])
    }
}
