import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors
import TestKit
import Testing

/// The instruction's keys and values in a packed file: on against off, and caches that are not the file's.
struct PrefixCacheTests {
    static let prompts = ["", "a", "A large red circle on a blue background", "▁ 日本", String(repeating: "a large red circle ", count: 200)]

    private static func convert(_ checkpoint: String, _ preset: Preset, _ components: ComponentSelection = .standard, to path: String) throws -> PackedFile {
        let plan = try ConversionPlan(Checkpoint.open(Fixtures.path(checkpoint)), ConversionOptions(preset, components: components))
        _ = try Converter.run(plan, on: .best, output: path, tool: tool)
        return try PackedFile.open(path)
    }

    /// The features of a prompt, and why the cache was not used where it was not.
    private static func features(_ file: PackedFile, _ prompt: String, cached: Bool, instruction: Bool = true) throws -> (Tensor, reasons: [String]) {
        var request = GenerationRequest(prompt: prompt)
        request.usePrefixCache = cached
        request.useInstruction = instruction
        var reasons: [String] = []
        let job = Job(request) { stage in
            if case .prefixCacheNotUsed(let reason) = stage { reasons.append(reason) }
        }
        let features = try SanaSprintPipeline(weights: PackedWeights(file), on: .best).promptFeatures(job)
        return (features, reasons)
    }

    @Test("features with the cache are those without it", arguments: ["tiny-sprint", "mini", "odd"], [Preset.fp32, .int8])
    func onAndOff(checkpoint: String, preset: Preset) throws {
        let folder = try TemporaryFolder()
        let file = try Self.convert(checkpoint, preset, to: folder.file("x.sprint"))
        #expect(file.attachments.contains { $0.name == PromptPrefix.indexName })
        for prompt in Self.prompts {
            let (on, reasons) = try Self.features(file, prompt, cached: true)
            let off = try Self.features(file, prompt, cached: false).0
            #expect(reasons.isEmpty)
            #expect(on.shape == off.shape)
            let (difference, size) = zip(on.elements, off.elements).reduce(into: (0.0, 0.0)) { sums, pair in
                sums.0 += Double(pair.0 - pair.1) * Double(pair.0 - pair.1)
                sums.1 += Double(pair.1) * Double(pair.1)
            }
            #expect((difference / size).squareRoot() <= 1e-5, "\(prompt.prefix(20))")
        }
        // Without the instruction there is nothing to look up.
        let plain = try Self.features(file, "a", cached: true, instruction: false)
        #expect(plain.reasons.isEmpty)
        #expect(try plain.0.elements == Self.features(file, "a", cached: false, instruction: false).0.elements)
    }

    @Test("the content hash is the same with and without it")
    func contentHash() throws {
        let folder = try TemporaryFolder()
        let with = try Self.convert("mini", .int8, to: folder.file("with.sprint"))
        let without = try Self.convert("mini", .int8, .listed([.transformer, .vaeDecoder, .textEncoder, .tokenizer]), to: folder.file("without.sprint"))
        #expect(with.contentHash == without.contentHash)
        #expect(without.attachments.isEmpty)
        #expect(with.verifyIntegrity().isEmpty)
    }

    @Test("a cache of other weights or other tokens is not used, with a reason, and changes nothing")
    func stale() throws {
        let folder = try TemporaryFolder()
        let file = try Self.convert("mini", .int8, to: folder.file("x.sprint"))
        let other = try Self.convert("mini", .bf16, to: folder.file("other.sprint"))
        let own = try file.attachments.map { (name: $0.name, bytes: try file.attachment($0.name)) }
        let index = PromptPrefix.Index(ids: [2, 5, 7], contentHash: other.contentHash)
        let otherTokens = own.map { $0.name == PromptPrefix.indexName ? (name: $0.name, bytes: index.json.canonicalText) : $0 }
        let broken: [(name: String, bytes: [UInt8])] = [(PromptPrefix.indexName, [0x5B])]
        let cases = [(own, "found one of \(file.contentHash)"), (otherTokens, "other tokens"), (broken, "prefix-cache/index.json: JSON")]
        for (attachments, word) in cases {
            let path = folder.file("changed.sprint")
            try Self.copy(other, with: attachments, to: path)
            let changed = try PackedFile.open(path)
            #expect(changed.contentHash == other.contentHash)
            let (features, reasons) = try Self.features(changed, "a red circle", cached: true)
            #expect(reasons.count == 1 && reasons[0].contains(word), "\(reasons)")
            #expect(try features.elements == Self.features(other, "a red circle", cached: false).0.elements)
        }
    }

    @Test("a cache of the wrong size is an error")
    func wrongSize() throws {
        let folder = try TemporaryFolder()
        let file = try Self.convert("mini", .int8, to: folder.file("x.sprint"))
        var attachments = try file.attachments.map { (name: $0.name, bytes: try file.attachment($0.name)) }
        let layer = try #require(attachments.firstIndex { $0.name == PromptPrefix.name(ofLayer: 1) })
        attachments[layer].bytes.removeLast(attachments[layer].bytes.count / 2)
        try Self.copy(file, with: attachments, to: folder.file("short.sprint"))
        let short = try PackedFile.open(folder.file("short.sprint"))
        #expect(throws: InferenceError.self) { try Self.features(short, "a", cached: true) }
    }

    /// The same content with other attachments.
    private static func copy(_ file: PackedFile, with attachments: [(name: String, bytes: [UInt8])], to path: String) throws {
        var directory = file.directory
        directory.tensors = []
        directory.blobs = []
        let writer = try PackedFileWriter(output: OutputFile(path: path, kind: .packedFile, replace: true), directory: directory)
        for blob in file.directory.blobs { try writer.addBlob(blob.name, file.blob(blob.name)) }
        for entry in file.directory.tensors {
            try writer.append(entry.description, sources: entry.sources, error: entry.error, planes: file.planes(of: entry))
        }
        _ = try writer.finish(attachments: attachments)
    }

    @Test("it is listed with what it is computed from, or not at all")
    func selection() throws {
        #expect(throws: ConversionError.self) {
            try ConversionPlan(Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.int8, components: .listed([.transformer, .prefixCache])))
        }
        let plan = try ConversionPlan(Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.int8, components: .all))
        #expect(plan.components.contains(.prefixCache))
    }
}
