import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import TestKit

/// The weights of tiny-sprint as the presets pack them.
enum ConvertedWeights {
    static func int8() throws -> PackedWeights { try packed(.int8) }

    static func packed(_ preset: Preset, controlled: Bool = false) throws -> PackedWeights {
        try PackedWeights(try files.get(Key(preset: preset, controlled: controlled)))
    }

    private struct Key: Hashable {
        let preset: Preset
        /// Whether with its control network, and the encoder that reads pictures for it.
        let controlled: Bool
    }

    private static let files = Once { (key: Key) in
        // The open file outlives its folder.
        let folder = try TemporaryFolder()
        let path = folder.file("x.sprint")
        let parts: [Component] = [.transformer, .vaeDecoder, .textEncoder, .tokenizer] + (key.controlled ? [.controlnet, .vaeEncoder] : [])
        let folders = key.controlled ? ["controlnet": Fixtures.path("tiny-sprint-controlnet")] : [:]
        let checkpoint = try Checkpoint.open(Fixtures.path("tiny-sprint"), folders: folders)
        _ = try Converter.run(
            ConversionPlan(checkpoint, ConversionOptions(key.preset, components: .listed(parts))), on: .best, output: path, tool: "inference-tests 1")
        return try PackedFile.open(path)
    }
}
