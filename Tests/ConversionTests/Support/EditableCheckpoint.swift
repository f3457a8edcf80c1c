import Checkpoints
import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// A checkpoint in memory, for tests that change something in it and write it out: one safetensors file for each component.
struct EditableCheckpoint {
    var tensors: [String: [(name: String, tensor: EncodedTensor)]] = [:]
    var smallFiles: [(path: String, bytes: [UInt8])]

    /// A copy of a fixture.
    init(_ fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        smallFiles = checkpoint.smallFiles.map { ($0.path, $0.bytes) }
        for (folder, component) in checkpoint.components where !component.files.isEmpty {
            tensors[folder] = try component.tensorNames.map { ($0, try component.read($0)) }
        }
    }

    subscript(_ folder: String, _ name: String) -> EncodedTensor? {
        get { tensors[folder]?.first { $0.name == name }?.tensor }
        set {
            var list = tensors[folder] ?? []
            let index = list.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let tensor?): list[index].tensor = tensor
            case (let index?, nil): list.remove(at: index)
            case (nil, let tensor?): list.append((name, tensor))
            case (nil, nil): break
            }
            tensors[folder] = list
        }
    }

    /// Changes the values of a tensor, in its own type or another one.
    mutating func change(_ folder: String, _ name: String, to dtype: DType? = nil, _ body: (inout [Float]) -> Void = { _ in }) throws {
        let tensor = try #require(self[folder, name])
        var values = try tensor.widened().elements
        body(&values)
        self[folder, name] = try Self.encoded(values, tensor.shape, dtype ?? tensor.dtype)
    }

    /// Sets the vocabulary's size in the text encoder's configuration.
    mutating func changeVocabulary(to size: Int) throws {
        let index = try #require(smallFiles.firstIndex { $0.path == "text_encoder/config.json" })
        var object = try #require(try JSONValue.parse(smallFiles[index].bytes, maximumDepth: 16).object)
        object["vocab_size"] = JSONValue(size)
        smallFiles[index].bytes = JSONValue.object(object).canonicalText
    }

    static func encoded(_ values: [Float], _ shape: Shape, _ dtype: DType) throws -> EncodedTensor {
        guard dtype == .f64 else { return try Tensor(shape, values).narrowed(to: dtype) }
        return try doubles(values.map(Double.init), shape)
    }

    static func doubles(_ values: [Double], _ shape: Shape) throws -> EncodedTensor {
        let tensor = try EncodedTensor(dtype: .f64, shape: shape)
        unsafe values.withUnsafeBytes { unsafe tensor.buffer.mutableBytes.copyMemory(from: $0) }
        return tensor
    }

    /// Writes the checkpoint into the folder and opens it.
    func write(to path: String) throws -> Checkpoint {
        try Paths.makeDirectory(path)
        for file in smallFiles {
            let parts = file.path.split(separator: "/")
            if parts.count > 1 { try Paths.makeDirectory(Paths.join(path, String(parts[0]))) }
            try OutputFile.write(file.bytes, to: Paths.join(path, file.path), kind: .anything, replace: true)
        }
        for (folder, list) in tensors {
            let file = Paths.join(path, "\(folder)/\(folder == "text_encoder" ? "model" : "diffusion_pytorch_model").safetensors")
            let writer = try SafetensorsWriter(path: file, kind: .anything, replace: true, tensors: list.map { ($0.name, $0.tensor.dtype, $0.tensor.shape) })
            for (_, tensor) in list { try writer.append(tensor) }
            try writer.finish()
        }
        return try Checkpoint.open(path)
    }
}
