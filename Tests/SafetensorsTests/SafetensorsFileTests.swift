import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

struct SafetensorsFileTests {
    @Test("a file of the Rust crate: names, shapes, types and bytes") func trained() throws {
        let path = Fixtures.path("tiny-sprint/transformer/diffusion_pytorch_model.safetensors")
        let file = try SafetensorsFile.open(path)
        #expect(file.header.entries.count == 135)
        #expect(file.header.metadata.map(\.key) == ["format"])
        let entry = try #require(file.entry("caption_projection.linear_1.weight"))
        #expect(entry.dtype == .bf16)
        #expect(entry.shape == [192, 128])
        #expect(entry.offset == file.header.dataOffset + 768)
        #expect(file.header.entries.reduce(file.header.dataOffset) { $0 + $1.byteCount } == file.file.size)
        try file.file.checkUnchanged()
    }

    @Test func missingTensor() throws {
        let file = try SafetensorsFile.open(Fixtures.path("tiny-sprint/vae/diffusion_pytorch_model.safetensors"))
        #expect(file.entry("decoder.conv_in") == nil)
        #expect(throws: SafetensorsError.missingTensor(path: file.path, tensor: "decoder.conv_in")) { try file.read("decoder.conv_in") }
    }

    @Test("names are compared by bytes") func canonicalEquivalence() throws {
        let folder = try TemporaryFolder()
        func entry(_ offset: Int) -> String { "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[\(offset),\(offset + 1)]}" }
        let path = try folder.write(RawFile("{\"\u{E9}\":\(entry(0)),\"e\u{301}\":\(entry(1))}", data: 2).bytes)
        let file = try SafetensorsFile.open(path)
        #expect(try file.read("\u{E9}").contents.elementsEqual([0]))
        #expect(try file.read("e\u{301}").contents.elementsEqual([1]))
    }

    @Test("a file that loses its end after it was opened is an error") func shrinks() throws {
        let folder = try TemporaryFolder()
        let raw = RawFile("{\"a\":{\"dtype\":\"U8\",\"shape\":[100],\"data_offsets\":[0,100]}}", data: 100)
        let path = try folder.write(raw.bytes)
        let file = try SafetensorsFile.open(path)
        try shrink(path, to: Int(raw.dataOffset) + 50)
        #expect(throws: SafetensorsError.file(.truncated(path: path, expected: raw.dataOffset + 100, found: raw.dataOffset + 50))) { try file.read("a") }
        #expect(throws: FileError.changedWhileReading(path: path)) { try file.file.checkUnchanged() }
    }

    @Test(arguments: ["missing", "."]) func notAFile(name: String) throws {
        let folder = try TemporaryFolder()
        #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(folder.file(name)) }
    }
}
