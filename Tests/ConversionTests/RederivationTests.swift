import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Safetensors
import Tensors
import TestKit
import Testing

@testable import Conversion

@Suite struct RederivationTests {
    @Test(arguments: Preset.allCases, ["mini", "odd"])
    func everyTensorIsTheSameAgain(preset: Preset, fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(preset, components: .all), in: folder)
        let rederivation = try Rederivation(file, checkpoint, on: .best)
        #expect(rederivation.missing.isEmpty)
        for entry in file.directory.tensors {
            let finding = try rederivation.check(entry)
            #expect(finding.holds, "\(finding)")
            #expect(finding.isBitIdentical)
            #expect(finding.error == entry.error)
        }
    }

    /// The smallest change of one element of the source shows in that tensor and in no other.
    @Test(arguments: [
        ("transformer", "transformer_blocks.1.attn1.to_k.weight", "dit.blocks.01.self.qkv.weight"),
        ("transformer", "transformer_blocks.0.attn1.norm_q.weight", "dit.blocks.00.self.qkv.weight"),
        ("vae", "decoder.conv_out.bias", "vae.dec.conv_out.bias"),
        ("text_encoder", "embed_tokens.weight", "text.embed.weight"),
    ])
    func changedSourceIsNamed(folder: String, source: String, packed: String) throws {
        let place = try TemporaryFolder()
        let file = try pack(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.int8), in: place)
        var edited = try EditableCheckpoint("mini")
        let tensor = try #require(edited[folder, source])
        // The last bit of one element.
        let changed = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape)
        unsafe changed.buffer.mutableBytes.copyMemory(from: tensor.bytes)
        unsafe changed.buffer.mutableBytes[tensor.dtype.byteCount * (tensor.shape.elementCount / 2)] ^= 1
        edited[folder, source] = changed
        let rederivation = try Rederivation(file, try edited.write(to: place.file("checkpoint")), on: .best)
        let failed = try file.directory.tensors.map { try rederivation.check($0) }.filter { !$0.holds }
        #expect(failed.map(\.name) == [packed])
        #expect(failed.first?.sources.filter { !$0.isSame }.map(\.name) == [source])
    }

    /// One element of a plane changed by one step, in a file that is whole otherwise.
    @Test(arguments: ["dit.blocks.00.self.qkv.weight", "dit.out.bias", "vae.dec.conv_in.weight"])
    func changedFileIsNamed(name: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let original = try pack(checkpoint, ConversionOptions(.int8), in: folder)
        let file = try rewritten(original, changing: name, to: folder.file("changed.sprint"))
        #expect(file.verifyIntegrity().isEmpty)
        let rederivation = try Rederivation(file, checkpoint, on: .best)
        let failed = try file.directory.tensors.map { try rederivation.check($0) }.filter { !$0.holds }
        #expect(failed.map(\.name) == [name])
        let difference = try #require(failed.first?.difference)
        #expect(difference.plane == "values" && difference.element == 3 && difference.count == 1)
    }

    /// A copy of a file with the last bit of element 3 of one tensor's values changed.
    private func rewritten(_ file: PackedFile, changing name: String, to path: String) throws -> PackedFile {
        var directory = file.directory
        directory.tensors = []
        directory.blobs = []
        let writer = try PackedFileWriter(output: try OutputFile(path: path, replace: false), directory: directory)
        for blob in file.directory.blobs { try writer.addBlob(blob.name, try file.blob(blob.name)) }
        for entry in file.directory.tensors {
            let planes = try file.planes(of: entry)
            if entry.name == name { unsafe planes[0].buffer.mutableBytes[3 * planes[0].dtype.byteCount] ^= 1 }
            try writer.append(entry.description, sources: entry.sources, error: entry.error, planes: planes)
        }
        _ = try writer.finish()
        return try PackedFile.open(path)
    }

    /// The tables of a frozen schedule are computed, not encoded: in another scheme they are not what was computed.
    @Test func computedTensorsAreComparedInTheirOwnSchemeAlone() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let options = ConversionOptions(.bf16, frozenSchedule: try FrozenSchedule(steps: ["1"], guidance: [4.5]))
        let file = try pack(checkpoint, options, in: folder)
        var directory = file.directory
        directory.tensors = []
        directory.blobs = []
        let writer = try PackedFileWriter(output: try OutputFile(path: folder.file("x.sprint"), replace: false), directory: directory)
        for blob in file.directory.blobs { try writer.addBlob(blob.name, try file.blob(blob.name)) }
        var narrowed: [String] = []
        for entry in file.directory.tensors {
            var (description, planes) = (entry.description, try file.planes(of: entry))
            if entry.role == "schedule" {
                narrowed.append(entry.name)
                planes = try Scheme.f16.encode(Tensor(sharing: planes[0]), subject: entry.name)
                description = TensorDescription(
                    name: entry.name, component: entry.component, shape: entry.shape, role: entry.role, layout: entry.layout, scheme: .f16)
            }
            try writer.append(description, sources: entry.sources, error: entry.error, planes: planes)
        }
        _ = try writer.finish()
        let other = try PackedFile.open(folder.file("x.sprint"))
        let rederivation = try Rederivation(other, checkpoint, on: .best)
        let failed = try other.directory.tensors.map { try rederivation.check($0) }.filter { !$0.holds }
        #expect(!narrowed.isEmpty && failed.map(\.name) == narrowed)
        #expect(failed.allSatisfy { $0.disagreements == ["scheme: expected f32, found f16"] })
    }

    @Test func fileOfOtherRowsDisagrees() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let file = try pack(checkpoint, ConversionOptions(.bf16, fusions: []), in: folder)
        // The same file, said to be fused: its rows are not those of the table.
        var directory = file.directory
        directory.fusions = ["qkv", "cross-kv"]
        directory.tensors = []
        directory.blobs = []
        let writer = try PackedFileWriter(output: try OutputFile(path: folder.file("x.sprint"), replace: false), directory: directory)
        for blob in file.directory.blobs { try writer.addBlob(blob.name, try file.blob(blob.name)) }
        for entry in file.directory.tensors { try writer.append(entry.description, sources: entry.sources, planes: try file.planes(of: entry)) }
        _ = try writer.finish()
        let other = try PackedFile.open(folder.file("x.sprint"))
        let rederivation = try Rederivation(other, checkpoint, on: .best)
        #expect(rederivation.missing.contains("dit.blocks.00.self.qkv.weight"))
        let entry = try #require(other.entry("dit.blocks.00.self.q.weight"))
        #expect(try !rederivation.check(entry).holds)
    }
}
