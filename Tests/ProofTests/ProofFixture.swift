import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Proof
import Safetensors
import StrictJSON
import Tensors
import TestKit

@testable import Conversion

/// tiny-sprint converted with each preset, once for all tests, and ways to tamper with the files and with the checkpoint.
enum ProofFixture {
    static let checkpointPath = Fixtures.path("tiny-sprint")
    /// The files are open and already removed from the folder they were made in: nothing is left behind when the process ends.
    private static let packed = Once { (preset: Preset) in
        let folder = try TemporaryFolder()
        return try PackedFile.open(convert(checkpointPath, preset, to: folder.file("\(preset.rawValue).sprint")))
    }
    private static let verified = Once { (preset: Preset) in
        try Verification(file(preset), against: Checkpoint.open(checkpointPath), on: .best)
    }
    private static let verifiedAlone = Once { (preset: Preset) in try Verification(file(preset), on: .best) }

    /// With the linears that `LayerChoices` balances by the weights alone.
    static let balanced = Result {
        let folder = try TemporaryFolder()
        var options = ConversionOptions(.int8, components: .all)
        let checkpoint = try Checkpoint.open(checkpointPath)
        options.choose(try LayerChoices(dataFree: ConversionPlan(checkpoint, options)))
        try convert(ConversionPlan(checkpoint, options), to: folder.file("balanced.sprint"))
        return try PackedFile.open(folder.file("balanced.sprint"))
    }

    /// The same of the preset compact, with four bits for two of the balanced linears.
    static let balancedFourBits = Result {
        let folder = try TemporaryFolder()
        var options = ConversionOptions(.compact, components: .all)
        let checkpoint = try Checkpoint.open(checkpointPath)
        var choices = try LayerChoices(dataFree: ConversionPlan(checkpoint, options)).choices
        for name in ["dit.blocks.01.cross.out.weight", "dit.blocks.02.cross.out.weight"] {
            choices[name] = .init(storage: Storage(.int4Balanced, activations: .int8PerToken), magnitudes: choices[name]?.magnitudes ?? [])
        }
        options.choose(LayerChoices(choices, record: ["kind": "data-free"]))
        try convert(ConversionPlan(checkpoint, options), to: folder.file("four.sprint"))
        return try PackedFile.open(folder.file("four.sprint"))
    }

    static func file(_ preset: Preset) throws -> PackedFile { try packed.get(preset) }

    /// What verifying such a file finds: against the checkpoint, and by itself.
    static func verification(_ preset: Preset) throws -> Verification { try verified.get(preset) }
    static func verificationAlone(_ preset: Preset) throws -> Verification { try verifiedAlone.get(preset) }

    /// Converts a checkpoint with all its components and gives the path of the file.
    static func convert(_ checkpoint: String, _ preset: Preset, to path: String) throws -> String {
        try convert(ConversionPlan(Checkpoint.open(checkpoint), ConversionOptions(preset, components: .all)), to: path)
        return path
    }

    /// A copy of a checkpoint with other small files and other weights, one file of weights for each component.
    static func copy(
        _ checkpoint: Checkpoint, to path: String, file change: (_ path: String, _ bytes: [UInt8]) throws -> [UInt8] = { $1 },
        weights: (_ component: String, _ tensors: [(String, EncodedTensor)]) throws -> [(String, EncodedTensor)]
    ) throws -> Checkpoint {
        try Paths.makeDirectory(path)
        for file in checkpoint.smallFiles {
            try Paths.makeDirectory(Paths.join(path, Paths.parent(of: file.path)))
            try OutputFile.write(try change(file.path, file.bytes), to: Paths.join(path, file.path), kind: .anything, replace: true)
        }
        for (folder, component) in checkpoint.components where !component.files.isEmpty {
            let tensors = try weights(folder, component.tensorNames.map { ($0, try component.read($0)) })
            let name = folder == "text_encoder" ? "model" : "diffusion_pytorch_model"
            let writer = try SafetensorsWriter(
                path: Paths.join(path, "\(folder)/\(name).safetensors"), kind: .anything, replace: true, tensors: tensors.map { ($0.0, $0.1.dtype, $0.1.shape) }
            )
            for (_, tensor) in tensors { try writer.append(tensor) }
            try writer.finish()
        }
        return try Checkpoint.open(path)
    }

    /// Carries out a plan, certificate and all.
    static func convert(_ plan: ConversionPlan, to path: String) throws {
        func certify(_ file: PackedFile) throws(ConversionError) -> [Converter.Attachment] {
            do throws(ProofError) {
                return try Certificate.make(of: file, from: plan.checkpoint, on: .best, tool: "proof tests").attachments
            } catch { throw .certificate("\(error)") }
        }
        _ = try Converter.run(plan, on: .best, output: path, tool: "proof tests", certify: certify)
    }

    /// Writes a file again with planes, blobs or activations changed and all its checksums made anew, as an adversary would.
    /// - Parameter attachments: given the new content hash, changes those of the file; without it the new file has none.
    static func rewrite(
        _ file: PackedFile, to path: String, plane: (TensorEntry, inout [EncodedTensor]) throws -> Void = { _, _ in },
        blob: (String, inout [UInt8]) -> Void = { _, _ in }, record: (TensorEntry, inout [SourceRecord]) -> Void = { _, _ in },
        describe: (TensorDescription) -> TensorDescription = { $0 },
        attachments: ((_ contentHash: String, inout [Converter.Attachment]) -> Void)? = nil
    ) throws -> PackedFile {
        var directory = file.directory
        directory.tensors = []
        directory.blobs = []
        let writer = try PackedFileWriter(output: OutputFile(path: path, kind: .packedFile, replace: true), directory: directory, allowNonfinite: true)
        for entry in file.directory.blobs {
            var bytes = try file.blob(entry.name)
            blob(entry.name, &bytes)
            try writer.addBlob(entry.name, bytes)
        }
        for entry in file.directory.tensors {
            var planes = try file.planes(of: entry)
            try plane(entry, &planes)
            var sources = entry.sources
            record(entry, &sources)
            try writer.append(describe(entry.description), sources: sources, error: entry.error, planes: planes)
        }
        var attached: [Converter.Attachment] = []
        if let attachments {
            attached = try file.attachments.map { ($0.name, try file.attachment($0.name)) }
            attachments(try writer.seal().contentHash, &attached)
        }
        _ = try writer.finish(attachments: attached)
        return try PackedFile.open(path)
    }

    /// A copy of the checkpoint, small files and weights, in which `change` has been at the bytes of each file.
    static func copyCheckpoint(to target: String, change: (_ path: String, _ bytes: inout [UInt8]) throws -> Void) throws -> Checkpoint {
        try Paths.makeDirectory(target)
        for name in try Paths.entries(of: checkpointPath) where name != "goldens" {
            let source = Paths.join(checkpointPath, name)
            let names = Paths.isDirectory(source) ? try Paths.entries(of: source).map { "\(name)/\($0)" } : [name]
            if Paths.isDirectory(source) { try Paths.makeDirectory(Paths.join(target, name)) }
            for path in names {
                var bytes = try InputFile(path: Paths.join(checkpointPath, path)).contents(limit: 1 << 30)
                try change(path, &bytes)
                try OutputFile.write(bytes, to: Paths.join(target, path), kind: .anything, replace: true)
            }
        }
        return try Checkpoint.open(target)
    }

    /// A tensor with the same elements, for a test to change.
    static func copy(_ tensor: EncodedTensor) throws -> EncodedTensor {
        let copy = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape)
        unsafe copy.buffer.mutableBytes.copyMemory(from: tensor.bytes)
        return copy
    }

    /// Flips the lowest bit of one element.
    static func flip(_ tensor: EncodedTensor, element: Int) throws -> EncodedTensor {
        let copy = try copy(tensor)
        unsafe copy.buffer.mutableBytes[element * tensor.dtype.byteCount] ^= 1
        return copy
    }

    /// Exchanges two ranges of rows of equal length.
    static func swapRows(_ tensor: EncodedTensor, _ first: Range<Int>, _ second: Range<Int>) throws -> EncodedTensor {
        let copy = try copy(tensor)
        let row = tensor.shape.columns * tensor.dtype.byteCount
        for (from, to) in zip(Array(first) + Array(second), Array(second) + Array(first)) {
            let source = unsafe UnsafeRawBufferPointer(rebasing: tensor.bytes[from * row..<(from + 1) * row])
            unsafe UnsafeMutableRawBufferPointer(rebasing: copy.buffer.mutableBytes[to * row..<(to + 1) * row]).copyMemory(from: source)
        }
        return copy
    }
}
