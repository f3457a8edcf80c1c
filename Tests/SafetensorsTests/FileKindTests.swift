import Files
import Safetensors
import TestKit
import Testing

struct FileKindTests {
    private static let samples: [(FileKind, [UInt8], String)] = [
        (.zip, Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 8, count: 40), "torch.save"),
        (.pickle, [0x80, 0x02, 0x8A, 0x0A] + Array("lF9 pickle of long ago".utf8), "pickle"),
        (.gguf, Array("GGUF".utf8) + [3, 0, 0, 0] + [UInt8](repeating: 1, count: 40), "GGUF"),
        (.webPage, Array("<!DOCTYPE html><html><body>Not found</body></html>".utf8), "login page"),
        (.webPage, Array("\n  <html>".utf8) + [UInt8](repeating: 0x20, count: 20), "login page"),
        (.lfsPointer, Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".utf8), "git lfs pull"),
        (.json, Array("{\"metadata\":{},\"weight_map\":{}}".utf8), "index"),
        (.json, [0xEF, 0xBB, 0xBF] + Array("[1, 2, 3, 4, 5]".utf8), "JSON"),
        (.gzip, [0x1F, 0x8B, 8, 0] + [UInt8](repeating: 9, count: 40), "unpack"),
        (.numpy, [0x93] + Array("NUMPY".utf8) + [1, 0] + [UInt8](repeating: 9, count: 40), "NumPy"),
        (.hdf5, [0x89] + Array("HDF\r\n".utf8) + [0x1A, 0x0A] + [UInt8](repeating: 9, count: 40), "HDF5"),
        (.zeros, [UInt8](repeating: 0, count: 4096), "download"),
    ]

    @Test("what is given as safetensors and is something else says what it is, and what to do", arguments: samples.indices)
    func disguised(index: Int) throws {
        let (kind, bytes, hint) = Self.samples[index]
        let folder = try TemporaryFolder()
        let path = try folder.write(bytes, "model.safetensors")
        let error = SafetensorsError.looksLike(path: path, kind)
        #expect(throws: error) { try SafetensorsFile.open(path) }
        #expect("\(error)".contains(hint))
    }

    @Test("a safetensors file whose length happens to look like another format's mark is read") func coincidence() throws {
        // 0x0280 bytes of header begin with the two bytes of a pickle, 0x8B1F with those of gzip.
        for length in [0x0280, 0x8B1F] {
            let folder = try TemporaryFolder()
            let path = try folder.write(RawFile("{}" + String(repeating: " ", count: length - 2)).bytes)
            #expect(try SafetensorsFile.open(path).header.entries.isEmpty)
        }
    }
}
