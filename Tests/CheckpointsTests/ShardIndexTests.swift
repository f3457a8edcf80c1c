import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

struct ShardIndexTests {
    let mini: MiniCheckpoint
    private let base = "transformer/diffusion_pytorch_model"
    private let shards = ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"]
    private var index: String { mini.folder.file("\(base).safetensors.index.json") }

    init() throws {
        mini = try MiniCheckpoint()
        mini.remove("\(base).safetensors")
        try mini.weights("transformer/\(shards[0])", ["a", "b"])
        try mini.weights("transformer/\(shards[1])", ["c"])
        try put([("a", shards[0]), ("b", shards[0]), ("c", shards[1])])
    }

    private func put(_ places: [(String, String)]) throws { try mini.index("\(base).safetensors.index.json", places) }

    private func expect(_ error: CheckpointError, _ part: String = "", sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(throws: error, sourceLocation: sourceLocation) { try Checkpoint.open(mini.path) }
        #expect("\(error)".contains(part) || part.isEmpty, sourceLocation: sourceLocation)
    }

    @Test func whole() throws {
        #expect(try Checkpoint.open(mini.path).components["transformer"]?.tensorNames == ["a", "b", "c"])
    }

    @Test(
        "shards outside the folder, or that are none, are refused before anything is opened",
        arguments: [
            "../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "", "x.bin", "/x.safetensors", "a\0.safetensors",
            "./x.safetensors",
        ]) func shardName(name: String) throws
    {
        try put([("a", shards[0]), ("b", name)])
        expect(.shardName(index: index, tensor: "b", found: name), "plain name")
    }

    @Test("all missing shards are named") func missingShards() throws {
        try put([("a", "y.safetensors"), ("b", shards[0]), ("c", "x.safetensors")])
        expect(.missingShards(index: index, shards: ["x.safetensors", "y.safetensors"]), "x.safetensors")
    }

    @Test("index and shards must agree, both ways") func disagrees() throws {
        try put([("a", shards[0]), ("c", shards[1])])
        expect(.indexDisagrees(index: index, missing: [], unlisted: [.init(tensor: "b", file: shards[0])]), "b (")
        try put([("a", shards[0]), ("b", shards[0]), ("c", shards[1]), ("z", shards[1])])
        expect(.indexDisagrees(index: index, missing: [.init(tensor: "z", file: shards[1])], unlisted: []), "z (")
        try put([("a", shards[0]), ("b", shards[1]), ("c", shards[1])])
        expect(.indexDisagrees(index: index, missing: [.init(tensor: "b", file: shards[1])], unlisted: [.init(tensor: "b", file: shards[0])]))
    }

    @Test("a tensor in two shards is an error") func twice() throws {
        try mini.weights("transformer/\(shards[1])", ["b", "c"])
        expect(.indexDisagrees(index: index, missing: [], unlisted: [.init(tensor: "b", file: shards[1])]))
    }

    @Test("a shard that nothing names is not opened") func unused() throws {
        try mini.weights("transformer/diffusion_pytorch_model-00003-of-00003.safetensors", ["old"])
        #expect(try Checkpoint.open(mini.path).components["transformer"]?.files.map { Paths.name(of: $0.path) } == shards)
    }

    @Test func tooManyShards() throws {
        try put((0..<300).map { ("t\($0)", "s\($0).safetensors") })
        expect(.tooManyShards(index: index, limit: 256, found: 300))
    }

    @Test(arguments: [
        ("[]", JSONError.field(subject: "the index", expected: "an object", found: "an array")),
        ("{}", JSONError.field(subject: "the index: weight_map", expected: "an object", found: "nothing")),
        ("{\"weight_map\":[]}", JSONError.field(subject: "the index: weight_map", expected: "an object", found: "[]")),
        ("{\"weight_map\":{\"a\":1}}", JSONError.field(subject: "weight_map: \"a\"", expected: "a string", found: "an integer")),
        ("{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}", JSONError.duplicateKey("a", offset: 23)),
        ("", JSONError.syntax(offset: 0, expected: "a value", found: "the end of the text")),
    ]) func broken(text: String, error: JSONError) throws {
        try mini.write(text, "\(base).safetensors.index.json")
        expect(.json(path: index, error))
    }

    @Test("damaged indices and configurations never crash, and what opens is whole") func fuzz() throws {
        var random = SplitMix64(seed: 99)
        let names = ["\(base).safetensors.index.json", "model_index.json", "transformer/config.json"]
        let originals = try names.map { try InputFile(path: mini.folder.file($0)).contents(limit: 1 << 20) }
        var accepted = 0
        let count = 500
        for _ in 0..<count {
            let which = Int.random(in: 0..<names.count, using: &random)
            let damaged = Fuzzing.damage(originals[which], using: &random)
            try mini.folder.put(damaged, names[which])
            do {
                let checkpoint = try Checkpoint.open(mini.path)
                accepted += 1
                for component in checkpoint.components.values {
                    for name in component.tensorNames { #expect(try component.read(name).contents.elementsEqual(name.utf8)) }
                }
            } catch {
                #expect("\(error)".contains(mini.path))
            }
            try mini.folder.put(originals[which], names[which])
        }
        #expect((1..<count).contains(accepted))
    }
}
