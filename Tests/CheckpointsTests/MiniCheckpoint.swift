import Files
import Glibc
import Safetensors
import StrictJSON
import Tensors
import TestKit

/// A checkpoint folder of a few bytes, whole until a test takes or changes a part.
final class MiniCheckpoint {
    let folder: TemporaryFolder
    var path: String { folder.path }

    static let modelIndex = """
        {"_class_name": "SanaSprintPipeline", "_diffusers_version": "0.33.0", "scheduler": ["diffusers", "SCMScheduler"],
         "text_encoder": ["transformers", "Gemma2Model"], "tokenizer": ["transformers", "GemmaTokenizerFast"],
         "transformer": ["diffusers", "SanaTransformer2DModel"], "vae": ["diffusers", "AutoencoderDC"]}
        """

    init() throws {
        folder = try TemporaryFolder()
        for name in ["transformer", "vae", "text_encoder", "tokenizer", "scheduler"] { try Paths.makeDirectory(folder.file(name)) }
        try write(Self.modelIndex, "model_index.json")
        try write("{\"_class_name\": \"SanaTransformer2DModel\"}", "transformer/config.json")
        try write("{\"_class_name\": \"AutoencoderDC\"}", "vae/config.json")
        try write("{\"architectures\": [\"Gemma2Model\"]}", "text_encoder/config.json")
        try write("{\"_class_name\": \"SCMScheduler\"}", "scheduler/scheduler_config.json")
        try write("{}", "tokenizer/tokenizer.json")
        try weights("transformer/diffusion_pytorch_model.safetensors", ["a", "b"])
        try weights("vae/diffusion_pytorch_model.safetensors", ["c"])
        try weights("text_encoder/model.safetensors", ["d"])
    }

    func write(_ text: String, _ name: String) throws { try folder.put(Array(text.utf8), name) }

    /// A weight file; the bytes of each tensor are its name's.
    func weights(_ name: String, _ tensors: [String]) throws {
        let writer = try SafetensorsWriter(
            path: folder.file(name), kind: .anything, replace: true, tensors: tensors.map { ($0, .u8, Shape([$0.utf8.count])) })
        for tensor in tensors { try writer.append(Array(tensor.utf8)) }
        try writer.finish()
    }

    /// A shard index over `places`: tensor and file.
    func index(_ name: String, _ places: [(String, String)]) throws {
        let map = JSONValue.object(JSONObject(places.map { ($0.0, .string($0.1)) }))
        let value: JSONValue = ["metadata": ["total_size": 1], "weight_map": map]
        try write(value.text, name)
    }

    func remove(_ name: String) { Paths.removeTree(folder.file(name)) }

    func link(_ name: String, to target: String) throws {
        guard unsafe symlink(target, folder.file(name)) == 0 else { throw FileError.system(operation: "symlink", path: name, code: errno) }
    }
}

/// Makes a file longer in place, as something else that writes to it would.
func grow(_ path: String) throws {
    guard unsafe truncate(path, 100_000) == 0 else { throw FileError.system(operation: "truncate", path: path, code: errno) }
}
