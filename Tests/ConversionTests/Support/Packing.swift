import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit

let tool = "conversion-tests 1"

/// The bytes of a tensor, to compare.
func bytes(_ tensor: EncodedTensor) -> [UInt8] { unsafe Array(tensor.bytes) }

func contents(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 30) }

/// Converts into a folder of the test and opens the result.
func pack(_ checkpoint: Checkpoint, _ options: ConversionOptions, in folder: TemporaryFolder, as name: String = "model.sprint") throws -> PackedFile {
    let plan = try ConversionPlan(checkpoint, options)
    _ = try Converter.run(plan, on: .best, output: folder.file(name), replace: true, tool: tool)
    return try PackedFile.open(folder.file(name))
}

func rules(_ text: String) throws -> RuleFile { try RuleFile(Array(text.utf8)) }

/// The error that `body` throws, which has to be one of this room.
func conversionError(_ body: () throws -> Void) -> ConversionError? {
    do {
        try body()
        return nil
    } catch { return error as? ConversionError }
}
