import Files
import Tensors
import TestKit
import Testing

@testable import Safetensors

struct SafetensorsWriterTests {
    let folder: TemporaryFolder
    let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.file("out.safetensors")
    }

    private func bytes(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 30) }

    @Test(
        "a file of the Rust crate, written again in any order of appending, comes out byte for byte",
        arguments: [
            "tiny-sprint/transformer/diffusion_pytorch_model.safetensors", "tiny-sprint/vae/diffusion_pytorch_model.safetensors",
            "tiny-sprint/text_encoder/model.safetensors",
            "tiny-sprint/goldens/steps2.safetensors",
        ]) func sameAsTheCrate(name: String) throws
    {
        let source = try SafetensorsFile.open(Fixtures.path(name))
        var random = SplitMix64(seed: 7)
        let entries = source.header.entries.shuffled(using: &random)
        let writer = try SafetensorsWriter(
            path: path, replace: false, inputs: [source.file.identity], tensors: entries.map { ($0.name, $0.dtype, $0.shape) }, metadata: source.header.metadata
        )
        for entry in entries { try writer.append(try source.read(entry.name)) }
        try writer.finish()
        #expect(try bytes(path) == bytes(source.path))
    }

    @Test("random tensors, appended in pieces that end anywhere, read back the same", arguments: 0..<40) func roundTrip(seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        var tensors: [SafetensorsWriter.Item] = []
        for number in 0..<Int.random(in: 0...12, using: &random) {
            let extents = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 0...7, using: &random) }
            tensors.append(("t\(number)\"\u{E9}\n", DType.allCases.randomElement(using: &random) ?? .f32, Shape(extents)))
        }
        let contents = tensors.map { tensor in
            (0..<tensor.shape.elementCount * tensor.dtype.byteCount).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        }
        let writer = try SafetensorsWriter(path: path, replace: false, tensors: tensors, metadata: [("k", "v"), ("a", "\u{0}\"")])
        var rest = Array(contents.joined())[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...200, using: &random))
            try writer.append(Array(piece))
            rest = rest.dropFirst(piece.count)
        }
        try writer.finish()

        let file = try SafetensorsFile.open(path)
        #expect(file.header.dataOffset % 8 == 0)
        #expect(file.header.metadata.map(\.key) == ["a", "k"])
        #expect(file.header.metadata.map(\.value) == ["\u{0}\"", "v"])
        #expect(file.header.entries.count == tensors.count)
        for (tensor, content) in zip(tensors, contents) {
            let read = try file.read(tensor.name)
            #expect(read.dtype == tensor.dtype)
            #expect(read.shape == tensor.shape)
            #expect(read.contents.elementsEqual(content))
            #expect(((file.entry(tensor.name)?.offset ?? 1) % UInt64(tensor.dtype.byteCount)) == 0)
        }
    }

    @Test("nothing is left of a file that was not finished") func unfinished() throws {
        do {
            let writer = try SafetensorsWriter(path: path, replace: false, tensors: [("e", .f32, [0]), ("a", .u8, [4]), ("b", .u8, [4])])
            try writer.append([1, 2, 3, 4, 5])
            #expect(throws: SafetensorsError.unfinishedTensor(path: path, tensor: "b", expected: 4, found: 1)) { try writer.finish() }
        }
        #expect(try Paths.entries(of: folder.path).isEmpty)
    }

    @Test func surplusBytes() throws {
        let writer = try SafetensorsWriter(path: path, replace: false, tensors: [("a", .u8, [4])])
        #expect(throws: SafetensorsError.surplusBytes(path: path, expected: 4)) { try writer.append([1, 2, 3, 4, 5]) }
    }

    @Test("what a reader would refuse is not written") func limits() {
        func expect(_ tensors: [SafetensorsWriter.Item], _ error: SafetensorsError) {
            #expect(throws: error) { try SafetensorsWriter(path: path, replace: false, tensors: tensors) }
        }
        expect([("a", .u8, []), ("a", .u8, [])], .duplicateTensor(path: path, tensor: "a"))
        expect([("__metadata__", .u8, [])], .duplicateTensor(path: path, tensor: "__metadata__"))
        expect([("", .u8, [])], .name(path: path, tensor: "", limit: 512))
        expect([("a", .u8, [1, 1, 1, 1, 1, 1, 1, 1, 1])], .rank(path: path, tensor: "a", limit: 8, found: 9))
    }

    @Test("an existing file stays, unless it may be replaced; an input always stays") func existing() throws {
        try OutputFile.write([1], to: path, replace: false)
        #expect(throws: SafetensorsError.file(.exists(path: path))) { try SafetensorsWriter(path: path, kind: .anything, replace: false, tensors: []) }
        let identity = try InputFile(path: path).identity
        #expect(throws: SafetensorsError.file(.isInput(path: path))) {
            try SafetensorsWriter(path: path, kind: .anything, replace: true, inputs: [identity], tensors: [])
        }
        #expect(try bytes(path) == [1])
        try SafetensorsWriter(path: path, kind: .anything, replace: true, tensors: []).finish()
        #expect(try SafetensorsFile.open(path).header.entries.isEmpty)
    }
}
