import Files
import StrictJSON
import Tensors
import TestKit

@testable import PackedFiles

/// The files of Formats/vectors, as the code makes them today.
enum Vectors {
    static let folder = formats("vectors")
    /// The library that compressed the committed files; another one may compress otherwise.
    static let zstdVersion = "1.5.4"
    static let valid = [
        "f32", "f16", "bf16", "int8-per-channel", "int8-rotated", "int8-balanced", "int4-grouped", "int4-balanced", "channels-last", "codec-zstd",
        "codec-zstd-split16",
        "frames", "compressed-directory", "attachments", "nonfinite", "newer-minor-version", "adapters",
    ]

    static func path(valid name: String) -> String { "\(folder)/valid/\(name).sprint" }
    static func path(invalid failure: PackedFileFailure) -> String { "\(folder)/invalid/\(failure.rawValue).sprint" }

    /// Values around all the corners of 16-bit floats: signed zeros, ties, subnormals, the largest.
    static let corners: [Float] = [
        0, -0, 1, -1.5, 65504, -65504, 1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-8, 1 + 0x3p-8, 0x1p-14, 0x1p-24, 0x1p-25, 0x1.8p-25, -0x1p-126, 0x1p-133,
    ]

    static func bytes(valid name: String) throws -> [UInt8] {
        let folder = try TemporaryFolder()
        let path = folder.file("vector.sprint")
        switch name {
        case "f32": try Samples.write([SampleTensor("matrix", .f32, [4, 4], corners), SampleTensor("scalar", .f32, [], [.pi])], to: path)
        case "f16": try Samples.write([SampleTensor("matrix", .f16, [4, 4], corners)], to: path)
        case "bf16": try Samples.write([SampleTensor("matrix", .bf16, [4, 4], corners)], to: path)
        case "int8-per-channel":
            // Row 0: ties to even with the scale 1. Row 1: zeros. Row 2: a scale that is no short number.
            let values: [Float] = [127, 0.5, 1.5, -2.5, 0, -0, 0, 0, 1, -0.3, 0.007, 0.011]
            try Samples.write([SampleTensor("linear.weight", .int8PerChannel, [3, 4], values, role: "linear", activations: .int8PerToken)], to: path)
        case "int8-rotated":
            // Row 0: one outlier. Row 1: zeros. Row 2: no pattern.
            let values = (0..<64).map { $0 == 5 ? 90 : Float($0 % 7) / 4 - 0.75 } + [Float](repeating: 0, count: 64) + Samples.weights(64, seed: 21)
            try Samples.write([SampleTensor("linear.weight", .int8Rotated, [3, 64], values, role: "gated-linear", activations: .int8PerToken)], to: path)
        case "int8-balanced":
            // Blocks of 32, 8, 2 and 1, and columns of two sizes.
            let values = (0..<86).map { index -> Float in index % 43 == 40 ? 60 : Float(index % 9) / 4 - 1 }
            let exponents = (0..<43).map { column -> Int in column == 40 ? -5 : column % 3 - 1 }
            let calibration = Calibration(inputMagnitudes: exponents.map { Float(sign: .plus, exponent: $0, significand: 1) })
            try Samples.write(
                [SampleTensor("linear.weight", .int8Balanced, [2, 43], values, role: "linear", activations: .int8PerToken, calibration: calibration)], to: path)
        case "int4-grouped":
            // An odd number of groups. Row 0: groups of several sizes. Row 1: zeros. Row 2: no pattern.
            let sizes: [Float] = [0.25, 4, 1, 0.01, 2]
            let values = (0..<160).map { Float($0 % 11 - 5) * sizes[$0 / 32] } + [Float](repeating: 0, count: 160) + Samples.weights(160, seed: 31)
            try Samples.write([SampleTensor("text.weight", .int4Grouped, [3, 160], values, role: "text-linear", activations: .float)], to: path)
        case "int4-balanced":
            // Blocks of 64 and 32, an odd number of groups, and columns of two sizes.
            let values = (0..<192).map { index -> Float in index % 96 == 40 ? 60 : Float(index % 11) / 4 - 1 }
            let calibration = Calibration(inputMagnitudes: (0..<96).map { Float(sign: .plus, exponent: $0 == 40 ? -5 : $0 % 3 - 1, significand: 1) })
            try Samples.write(
                [SampleTensor("linear.weight", .int4Balanced, [2, 96], values, role: "linear", activations: .int8PerToken, calibration: calibration)], to: path)
        case "channels-last":
            let values = (0..<36).map { Float($0) - 20 }
            try Samples.write([SampleTensor("conv.weight", .int8PerChannel, [2, 3, 3, 2], values, role: "convolution", layout: .channelsLast)], to: path)
        case "codec-zstd": try Samples.write([SampleTensor("ones", .f16, [8, 32], [Float](repeating: 1, count: 256))], to: path)
        case "codec-zstd-split16":
            try Samples.write([SampleTensor("weights", .bf16, [16, 32], Samples.weights(512, seed: 11))], to: path)
        case "frames":
            var values = [Float](repeating: 0, count: 300_000)
            for (index, position) in [0, 262_143, 262_144, 299_999].enumerated() { values[position] = Float(index + 1) }
            try Samples.write([SampleTensor("long", .f32, [3, 100_000], values)], to: path)
        case "compressed-directory":
            try Samples.write((0..<14).map { try SampleTensor("blocks.\($0).bias", .f32, [1], [Float($0)], role: "bias") }, to: path)
        case "attachments":
            try Samples.write(
                [SampleTensor("bias", .f32, [1], [1])], to: path, blobs: [("tokenizer/e\u{301}.txt", [1, 2, 3]), ("tokenizer/empty", [])],
                attachments: [("certificate.json", Array("{}".utf8)), ("prefix/cache.bin", [0, 1, 2])])
        case "nonfinite":
            let values: [Float] = [1, .infinity, -.infinity, Float(bitPattern: 0x7FC0_0000)]
            let tensors = try [Scheme.f32, .f16, .bf16].map { scheme in
                let description = TensorDescription(name: scheme.name, component: "transformer", shape: [4], role: "norm", scheme: scheme)
                return SampleTensor(description, planes: try scheme.encode(Tensor([4], values), subject: scheme.name))
            }
            try Samples.write(tensors, to: path, allowNonfinite: true)
        case "adapters":
            var tensor = try SampleTensor("linear.weight", .f32, [2, 4], [1, -2, 3, -4, 0.5, 0.25, 0, 1], role: "linear")
            let digest = SHA256Stream.digest([1, 2, 3])
            let prefix = "lora/1/linear.lora_"
            let additions = [
                AdditionRecord(factor: 0.75, up: "\(prefix)B.weight", down: "\(prefix)A.weight", magnitude: "\(prefix)magnitude_vector"),
                AdditionRecord(factor: -1.2, up: "lora/2/linear.lora_B.weight", down: nil, magnitude: nil),
            ]
            tensor.sources = [SourceRecord(name: "linear.weight", dtype: .bf16, shape: [2, 4], sha256: digest, rowScale: "norm", additions: additions)]
            let operands: [(String, Shape)] = [
                ("norm", [2]), (additions[0].up, [2, 1]), (additions[0].down ?? "", [1, 4]), (additions[0].magnitude ?? "", [2]), (additions[1].up, [2, 4]),
            ]
            tensor.sources += operands.map { SourceRecord(name: $0.0, dtype: .f32, shape: $0.1, sha256: digest) }
            let adapters = [(1, 0.5), (2, -1.2)].map { SourceFile(path: "lora/\($0.0)/a.safetensors", byteCount: 77, sha256: digest, weight: $0.1) }
            try Samples.write([tensor], to: path, adapters: adapters)
        case "newer-minor-version":
            try Samples.write([SampleTensor("bias", .f32, [1], [1])], to: path)
            var surgeon = Surgeon(try contents(path))
            surgeon.bytes = try surgeon.member("tensors/0/rotation", ["kind": "hadamard"])
            surgeon.set(7, at: 10, count: 2)
            return surgeon.header(0x8000_0000, at: 16, count: 4)
        default: throw SurgeryError.noSuchMember(name)
        }
        return try contents(path)
    }

    /// What a reader has to get out of a file: the text that `reader.py decode` prints.
    static func description(of path: String) throws -> [UInt8] {
        let file = try PackedFile.open(path)
        func blob(_ name: String, _ bytes: [UInt8]) -> JSONValue { ["name": .string(name), "sha256": .string(SHA256Stream.digest(bytes))] }
        let blobs = try file.directory.blobs.map { blob($0.name, try file.blob($0.name)) }
        let attachments = try file.attachments.map { blob($0.name, try file.attachment($0.name)) }
        let tensors = try file.directory.tensors.map { entry -> JSONValue in
            let values = EncodedTensor(try entry.scheme.decode(file.planes(of: entry), shape: entry.shape)).array
            var object = JSONObject([
                ("name", .string(entry.name)), ("shape", .array(entry.shape.extents.map { JSONValue($0) })), ("scheme", .string(entry.scheme.name)),
                ("layout", .string(entry.layout.rawValue)), ("sha256", .string(SHA256Stream.digest(values))),
            ])
            if values.count <= 128 { object["float32"] = .string(hex(values)) }
            return .object(object)
        }
        let description: JSONValue = [
            "attachments": .array(attachments), "blobs": .array(blobs), "contentHash": .string(file.contentHash), "tensors": .array(tensors),
        ]
        return description.canonicalText + [0x0A]
    }

    /// Hexadecimal digits in groups of four bytes.
    static func hex(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 4)
            .map { bytes[$0..<min($0 + 4, bytes.count)].map { Hex.digits(UInt64($0), width: 2) }.joined() }
            .joined(separator: " ")
    }

    /// Writes all vectors anew, once: `SPRINTPACK_WRITE_VECTORS=1 swift test --filter VectorTests`.
    static let rewritten = Result { try writeAll() }

    private static func writeAll() throws {
        for name in valid {
            try write(bytes(valid: name), to: path(valid: name))
            try write(description(of: path(valid: name)), to: "\(folder)/valid/\(name).json")
        }
        for failure in PackedFileFailure.allCases where !HostileFiles.notFromFiles.contains(failure) {
            try write(HostileFiles.file(for: failure), to: path(invalid: failure))
        }
    }
}

/// A file below Formats.
func formats(_ name: String) -> String {
    let tests = Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath)))
    return Paths.join(Paths.parent(of: tests), "Formats/\(name)")
}
