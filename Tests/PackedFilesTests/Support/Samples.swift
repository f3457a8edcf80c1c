import Files
import PackedFiles
import StrictJSON
import Tensors
import TestKit

/// A tensor to be packed, with the values that a reader has to give back.
struct SampleTensor {
    let description: TensorDescription
    let planes: [EncodedTensor]
    var error: QuantizationError?
    var sources: [SourceRecord] = []

    init(_ description: TensorDescription, planes: [EncodedTensor]) {
        self.description = description
        self.planes = planes
    }

    /// Encodes float32 values with the scheme and records the error, as a conversion does.
    init(
        _ name: String, _ scheme: Scheme, _ shape: Shape, _ values: [Float], component: String = "transformer", role: String = "table",
        layout: TensorLayout = .same, activations: ActivationScheme? = nil, calibration: Calibration? = nil
    ) throws {
        let source = try Tensor(shape, values)
        let description = TensorDescription(
            name: name, component: component, shape: shape, role: role, layout: layout, scheme: scheme, activations: activations)
        try self.init(description, planes: scheme.encode(source, subject: name, calibration: calibration))
        var sum = QuantizationErrorSum()
        sum.add(decoded: try scheme.decode(planes, shape: shape), source: source)
        error = sum.result
        let record = EncodedTensor(source)
        var digest = SHA256Stream()
        unsafe digest.update(record.bytes)
        sources = [SourceRecord(name: "checkpoint.\(name)", dtype: .f32, shape: shape, sha256: digest.digest())]
    }
}

enum Samples {
    static func directory(adapters: [SourceFile] = []) -> Directory {
        Directory(
            tool: "sprintpack test", preset: "int8", policy: ["rules": []], fusions: ["qkv"],
            components: [ComponentEntry(name: "transformer", configuration: "transformer/config.json"), ComponentEntry(name: "tokenizer", configuration: nil)],
            sourceFiles: [SourceFile(path: "transformer/model.safetensors", byteCount: 1234)] + adapters)
    }

    static let configuration = Array(#"{"num_layers": 2}"#.utf8)

    /// Writes a packed file with a configuration, the tensors, other blobs and attachments.
    @discardableResult
    static func write(
        _ tensors: [SampleTensor], to path: String, blobs: [(String, [UInt8])] = [], attachments: [(name: String, bytes: [UInt8])] = [],
        allowNonfinite: Bool = false, adapters: [SourceFile] = []
    ) throws -> PackedFileWriter.Summary {
        let output = try OutputFile(path: path, kind: .packedFile, replace: true)
        let writer = try PackedFileWriter(output: output, directory: directory(adapters: adapters), allowNonfinite: allowNonfinite)
        try writer.addBlob("transformer/config.json", configuration)
        for (name, bytes) in blobs { try writer.addBlob(name, bytes) }
        for tensor in tensors { try writer.append(tensor.description, sources: tensor.sources, error: tensor.error, planes: tensor.planes) }
        return try writer.finish(attachments: attachments)
    }

    /// Values of a bell shape around zero, as weights have them.
    static func weights(_ count: Int, seed: UInt64, scale: Float = 0.02) -> [Float] {
        var generator = SplitMix64(seed: seed)
        return (0..<count).map { _ in scale * (0..<6).reduce(Float(-3)) { sum, _ in sum + Float.random(in: 0..<1, using: &generator) } }
    }

    /// One tensor of each scheme and codec, small: what hostile files are made from.
    static func mixed() throws -> [SampleTensor] {
        try [
            SampleTensor("linear.weight", .int8PerChannel, [2, 4], [1, -2, 3, -4, 0.5, 0.25, 0, 1], role: "linear", activations: .int8PerToken),
            SampleTensor("linear.bias", .bf16, [2], [0.5, -1.25], role: "bias"),
            SampleTensor("flat", .f32, [64], [Float](repeating: 0.5, count: 64)),
            SampleTensor("half", .f16, [3], [1, 65504, -0.125]),
            SampleTensor("split", .bf16, [16, 16], weights(256, seed: 5)),
        ]
    }
}

/// The bits of float32 values: NaNs and signs of zero count.
func bits(_ tensor: Tensor) -> [UInt32] { tensor.elements.map(\.bitPattern) }

extension EncodedTensor {
    /// The stored bytes, for comparisons.
    var array: [UInt8] { unsafe Array(bytes) }

    init(_ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) throws {
        try self.init(dtype: dtype, shape: shape)
        unsafe buffer.mutableBytes.copyBytes(from: bytes)
    }
}

/// The bytes of a file that a test has written.
func contents(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 28) }
