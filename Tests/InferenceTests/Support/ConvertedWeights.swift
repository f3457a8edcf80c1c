import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Synchronization
import TestKit

/// The weights of tiny-sprint as the presets pack them.
enum ConvertedWeights {
    static func int8() throws -> PackedWeights { try packed(.int8) }

    static func packed(_ preset: Preset) throws -> PackedWeights {
        try PackedWeights(try files.withLock { files in try files[preset] ?? open(preset, in: &files) })
    }

    private static let files = Mutex<[Preset: PackedFile]>([:])

    private static func open(_ preset: Preset, in files: inout [Preset: PackedFile]) throws -> PackedFile {
        // The open file outlives its folder.
        let folder = try TemporaryFolder()
        let path = folder.file("x.sprint")
        let options = ConversionOptions(preset, components: .listed([.transformer, .vaeDecoder, .textEncoder, .tokenizer]))
        _ = try Converter.run(ConversionPlan(try Checkpoint.open(Fixtures.path("tiny-sprint")), options), on: .best, output: path, tool: "inference-tests 1")
        let file = try PackedFile.open(path)
        files[preset] = file
        return file
    }
}
