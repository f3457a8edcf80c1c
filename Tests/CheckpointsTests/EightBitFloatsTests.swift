import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Checkpoints

/// Weights in eight-bit floats, alone and with the scales that other programs put beside them, against PyTorch's values.
struct EightBitFloatsTests {
    typealias Item = (name: String, dtype: DType, shape: Shape, bytes: [UInt8])

    let mini: MiniCheckpoint
    private let file = "transformer/diffusion_pytorch_model.safetensors"
    private let codes = (0...255).map { UInt8($0) }

    init() throws { mini = try MiniCheckpoint() }

    private func put(_ items: [Item], _ name: String? = nil) throws {
        let writer = try SafetensorsWriter(
            path: mini.folder.file(name ?? file), kind: .anything, replace: true, tensors: items.map { ($0.name, $0.dtype, $0.shape) })
        for item in items { try writer.append(item.bytes) }
        try writer.finish()
    }

    private func transformer() throws -> CheckpointComponent { try #require(try Checkpoint.open(mini.path).components["transformer"]) }

    private func golden(_ dtype: DType, _ kind: String) throws -> [Float] {
        let text = try InputFile(path: Fixtures.path("float8/values.json")).contents(limit: 1 << 20)
        return try #require(try JSONValue.parse(text)[dtype.rawValue]?[kind]?.array).map { Float(bitPattern: UInt32(truncatingIfNeeded: $0.integer ?? 0)) }
    }

    private func scale() throws -> Float {
        let text = try InputFile(path: Fixtures.path("float8/values.json")).contents(limit: 1 << 20)
        return Float(bitPattern: UInt32(truncatingIfNeeded: try #require(try JSONValue.parse(text)["scale"]?.integer)))
    }

    private func encoded(_ values: [Float]) -> [UInt8] { values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } } }

    private func areSame(_ left: [Float], _ right: [Float]) -> Bool {
        left.count == right.count && zip(left, right).allSatisfy { $0.isNaN && $1.isNaN || $0.bitPattern == $1.bitPattern }
    }

    @Test("every code has PyTorch's value, in bfloat16", arguments: [DType.f8e4m3, .f8e5m2]) func plain(dtype: DType) throws {
        try put([("a.weight", dtype, [16, 16], codes), ("b", dtype, [256], codes)])
        let component = try transformer()
        for name in ["a.weight", "b"] {
            let tensor = try component.read(name)
            #expect(tensor.dtype == .bf16)
            #expect(areSame(try tensor.widened().elements, try golden(dtype, "plain")))
        }
        #expect(component.notes == ["2 tensors in eight-bit floats are read as BF16, which holds every one of their values"])
        // The file itself says what it holds.
        #expect(component.files[0].tensors.map(\.dtype) == [dtype, dtype])
    }

    @Test("a scale multiplies in float32, whatever it is called", arguments: ["scale_weight", "weight_scale", "weight_scale_inv"], [DType.f8e4m3, .f8e5m2])
    func scaled(name: String, dtype: DType) throws {
        for shape: Shape in [[], [1]] {
            try put([
                ("m.a.weight", dtype, [16, 16], codes), ("m.a.\(name)", .f32, shape, encoded([try scale()])), ("m.a.scale_input", .f32, [], encoded([3])),
                ("m.scaled_fp8", .f8e4m3, [0], []), ("m.b.weight", .f32, [1], encoded([7])),
            ])
            let checkpoint = try Checkpoint.open(mini.path)
            let component = try #require(checkpoint.components["transformer"])
            #expect(component.tensorNames == ["m.a.weight", "m.b.weight"])
            let tensor = try component.read("m.a.weight")
            #expect(tensor.dtype == .f32 && tensor.shape == [16, 16])
            #expect(areSame(try tensor.widened().elements, try golden(dtype, "scaled")))
            #expect(checkpoint.notes == ["transformer: 1 tensor in eight-bit floats is read with their scales, as F32"])
            #expect(checkpoint.omissions.map(\.name) == ["m.a.scale_input"])
        }
    }

    @Test("a scale for each row, in another shard; ranges are parts of the whole") func rows() throws {
        mini.remove(file)
        let (first, second) = (
            "transformer/diffusion_pytorch_model-00001-of-00002.safetensors", "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"
        )
        try put([("a.weight", .f8e4m3, [16, 16], codes)], first)
        let factors = (0..<16).map { Float(exactly: $0)! * 0.37 + 0.1 }
        try put([("a.weight_scale", .f32, [16, 1], encoded(factors))], second)
        try mini.index(
            "transformer/diffusion_pytorch_model.safetensors.index.json",
            [("a.weight", String(first.dropFirst(12))), ("a.weight_scale", String(second.dropFirst(12)))])
        let component = try transformer()
        let expected = try golden(.f8e4m3, "plain").enumerated().map { $1 * factors[$0 / 16] }
        let whole = try component.read("a.weight")
        #expect(areSame(try whole.widened().elements, expected))
        for (begin, end) in [(0, 1), (15, 17), (100, 256), (33, 33)] {
            let part = try component.bytes(of: "a.weight", UInt64(4 * begin)..<UInt64(4 * end))
            #expect(whole.contents[4 * begin..<4 * end].elementsEqual(part))
        }
    }

    @Test("a scale that is none is named", arguments: [(DType.f32, Shape([2, 2])), (.u8, [1]), (.f32, [0])] as [(DType, Shape)]) func wrongScale(
        dtype: DType, shape: Shape
    ) throws {
        try put([
            ("a.weight", .f8e4m3, [16, 16], codes), ("a.weight_scale", dtype, shape, [UInt8](repeating: 0, count: shape.elementCount * dtype.byteCount)),
        ])
        let error = CheckpointError.eightBitScale(
            path: mini.folder.file(file), weight: "a.weight", scale: "a.weight_scale", rows: 16, dtype: dtype, shape: shape)
        #expect(throws: error) { try Checkpoint.open(mini.path) }
        #expect("\(error)".contains("one scale for \"a.weight\", or 16"))
    }

    @Test("a second scale of one weight is an error, and one without its weight a tensor like any other") func strayScales() throws {
        try put([
            ("a.weight", .f8e4m3, [16, 16], codes), ("a.scale_weight", .f32, [], encoded([1])), ("a.weight_scale", .f32, [], encoded([2])),
        ])
        #expect(throws: CheckpointError.self) { try Checkpoint.open(mini.path) }
        try put([("a.weight", .f8e4m3, [16, 16], codes), ("b.weight", .f32, [1], encoded([1])), ("b.weight_scale", .f32, [], encoded([2]))])
        #expect(try transformer().tensorNames == ["a.weight", "b.weight", "b.weight_scale"])
    }
}
