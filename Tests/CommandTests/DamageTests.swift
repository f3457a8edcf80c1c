import Foundation
import Safetensors
import StrictJSON
import TestKit
import Testing

/// One changed element, however little, in the source or in the file: exit code 1, and the tensor's name.
@Suite struct DamageTests {
    @Test(arguments: ["transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])
    func aChangedSourceIsNamed(file: String) throws {
        let shop = try Workshop()
        let packed = try shop.packed("int8", ["--components", "all"])
        let checkpoint = try shop.checkpoint()
        let path = "\(checkpoint)/\(file).safetensors"
        let header = try SafetensorsFile.open(path).header
        var random = SplitMix64(seed: 7)
        let entry = try #require(header.entries.filter { $0.byteCount > 0 }.randomElement(using: &random))
        // The last bit of one element's significand.
        let element = UInt64.random(in: 0..<entry.byteCount / 2, using: &random)
        try patch(path, at: Int(entry.offset + 2 * element)) { $0 ^= 1 }
        let result = try Tool.run(["verify", packed, "--against", checkpoint])
        #expect(result.status == 1)
        #expect(result.output.contains(entry.name), "\(result.output)")
    }

    @Test func aChangedFileIsNamed() throws {
        let shop = try Workshop()
        let packed = try shop.packed("int8")
        let listed = try Tool.run(["inspect", packed, "--tensors", "--json"]).json()
        let names = try #require(listed["tensors"]?.array).compactMap { $0["name"]?.string }
        let size = try #require(try FileManager.default.attributesOfItem(atPath: packed)[.size] as? Int)
        var random = SplitMix64(seed: 11)
        for _ in 0..<5 {
            // Planes fill most of the file; the directory is at its end.
            let offset = Int.random(in: 4096..<size / 2, using: &random)
            try patch(packed, at: offset) { $0 ^= 0x10 }
            let result = try Tool.run(["verify", packed])
            #expect(result.status == 1, "byte \(offset): \(result.errors)")
            #expect(names.contains { result.output.contains($0) } || result.output.contains("padding") || result.output.contains("blob"), "\(result.output)")
            try patch(packed, at: offset) { $0 ^= 0x10 }
        }
        #expect(try Tool.run(["verify", packed]).status == 0)
    }
}
