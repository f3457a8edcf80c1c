import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

/// Which files a component's weights are taken from; every ambiguity is an error.
struct WeightFilesTests {
    let mini: MiniCheckpoint
    private let base = "diffusion_pytorch_model"
    private var folder: String { mini.folder.file("transformer") }

    init() throws {
        mini = try MiniCheckpoint()
        mini.remove("transformer/\(base).safetensors")
    }

    /// Puts weights into the transformer's folder, each with one tensor named after the file.
    private func put(_ names: String...) throws {
        for name in names { try mini.weights("transformer/\(name)", [name]) }
    }

    private func component(_ variant: String? = nil) throws -> CheckpointComponent {
        try #require(try Checkpoint.open(mini.path, variant: variant).components["transformer"])
    }

    private func expect(_ error: CheckpointError, variant: String? = nil, _ part: String = "", sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(throws: error, sourceLocation: sourceLocation) { try Checkpoint.open(mini.path, variant: variant) }
        #expect("\(error)".contains(part) || part.isEmpty, sourceLocation: sourceLocation)
    }

    @Test("plain files are taken unless a variant is asked for") func variants() throws {
        try put("\(base).safetensors", "\(base).fp16.safetensors")
        let plain = try component()
        #expect(plain.tensorNames == ["\(base).safetensors"])
        #expect(plain.variant == nil)
        let half = try component("fp16")
        #expect(half.tensorNames == ["\(base).fp16.safetensors"])
        #expect(half.variant == "fp16")
        // The other components have no such variant; their plain files are taken.
        #expect(try Checkpoint.open(mini.path, variant: "fp16").components["vae"]?.variant == nil)
    }

    @Test("the only variant there is needs no flag") func onlyVariant() throws {
        try put("\(base).bf16.safetensors")
        #expect(try component().variant == "bf16")
    }

    @Test func ambiguousVariants() throws {
        try put("\(base).fp16.safetensors", "\(base).bf16.safetensors")
        let found = ["\(base).bf16.safetensors", "\(base).fp16.safetensors"]
        expect(.ambiguousVariants(folder: folder, found: found, variants: ["bf16", "fp16"]), "--variant bf16 or --variant fp16")
        #expect(try component("bf16").variant == "bf16")
    }

    @Test("a variant that nothing has is an error") func noSuchVariant() throws {
        try put("\(base).fp16.safetensors")
        expect(.noSuchVariant(folder: folder, variant: "int8", found: ["\(base).fp16.safetensors"]), variant: "int8")
        try put("\(base).safetensors")
        let files = ["transformer/\(base).safetensors", "vae/\(base).safetensors", "text_encoder/model.safetensors"]
        expect(.noSuchVariant(folder: mini.path, variant: "int8", found: files), variant: "int8", "int8")
    }

    @Test(
        "shards by their index, plain and as a variant in either spelling",
        arguments: [
            (nil, "-00001-of-00002", "-00002-of-00002", ""), ("fp16", ".fp16-00001-of-00002", ".fp16-00002-of-00002", ".fp16"),
            ("fp16", "-00001-of-00002.fp16", "-00002-of-00002.fp16", ".fp16"),
        ] as [(String?, String, String, String)]) func shards(variant: String?, first: String, second: String, tag: String) throws
    {
        let names = ["\(base)\(first).safetensors", "\(base)\(second).safetensors"]
        try mini.weights("transformer/\(names[0])", ["b", "d"])
        try mini.weights("transformer/\(names[1])", ["a", "c"])
        try mini.index("transformer/\(base).safetensors.index\(tag).json", [("d", names[0]), ("a", names[1]), ("b", names[0]), ("c", names[1])])
        let component = try component(variant)
        #expect(component.tensorNames == ["a", "b", "c", "d"])
        #expect(component.files.count == 2)
        #expect(component.variant == variant)
        for name in component.tensorNames { #expect(try component.read(name).contents.elementsEqual(name.utf8)) }
        #expect(try !Checkpoint.open(mini.path).smallFiles.contains { $0.path.contains("index.") && $0.path != "model_index.json" })
    }

    @Test func singleAndSharded() throws {
        try put("\(base).safetensors")
        try mini.index("transformer/\(base).safetensors.index.json", [])
        expect(.singleAndSharded(folder: folder, found: ["\(base).safetensors", "\(base).safetensors.index.json"]), "out of date")
    }

    @Test func missingIndex() throws {
        try put("\(base)-00001-of-00001.safetensors")
        expect(.missingIndex(folder: folder, expected: "\(base).safetensors.index.json", shards: ["\(base)-00001-of-00001.safetensors"]))
        mini.remove("transformer/\(base)-00001-of-00001.safetensors")
        try put("\(base).fp16-00001-of-00001.safetensors")
        expect(.missingIndex(folder: folder, expected: "\(base).safetensors.index.fp16.json", shards: ["\(base).fp16-00001-of-00001.safetensors"]))
    }

    @Test("nothing at all, or files of other names") func noWeights() throws {
        expect(.noWeights(folder: folder, expected: "\(base).safetensors", found: ["config.json"]))
        try put("ema.safetensors", "\(base)x.safetensors", "\(base)-1.safetensors", "\(base).a.b.safetensors", "\(base).-.safetensors")
        let found = ["config.json", "\(base)-1.safetensors", "\(base).-.safetensors", "\(base).a.b.safetensors", "\(base)x.safetensors", "ema.safetensors"]
        expect(.noWeights(folder: folder, expected: "\(base).safetensors", found: found), "ema.safetensors")
    }

    @Test("weights that only Python can unpack are not touched", arguments: ["diffusion_pytorch_model.bin", "model.pth", "model.ckpt", "weights.pt"])
    func unsafeWeights(name: String) throws {
        try mini.write("x", "transformer/\(name)")
        expect(.unsafeWeights(folder: folder, found: [name]), "safe_serialization=True")
    }
}
