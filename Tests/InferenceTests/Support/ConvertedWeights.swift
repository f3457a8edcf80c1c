import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import TestKit

/// The weights of tiny-sprint as the preset int8 packs them.
enum ConvertedWeights {
    static func int8() throws -> PackedWeights { try PackedWeights(file.get()) }

    private static let file = Result { () throws -> PackedFile in
        // The open file outlives its folder.
        let folder = try TemporaryFolder()
        let path = folder.file("int8.sprint")
        let options = ConversionOptions(.int8, components: .listed([.transformer, .vaeDecoder, .textEncoder, .tokenizer]))
        _ = try Converter.run(ConversionPlan(try Checkpoint.open(Fixtures.path("tiny-sprint")), options), on: .best, output: path, tool: "inference-tests 1")
        return try PackedFile.open(path)
    }
}
