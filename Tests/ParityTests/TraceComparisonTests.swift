import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Parity

@Suite struct TraceComparisonTests {
    private let folder: TemporaryFolder
    private let golden: TraceFile

    init() throws {
        folder = try TemporaryFolder()
        // The probes of up to 40,000 elements of a golden trace: of every kind, and quick to measure without optimisation.
        let whole = try TraceFile.open(Fixtures.path("tiny-sprint/goldens/steps1.safetensors"))
        let small = whole.probes.filter { (whole.entry($0)?.shape.elementCount ?? 0) <= 40_000 || $0 == "image_u8" }
        let path = folder.file("golden.safetensors")
        try TraceFile.write(try small.map { (name: $0, tensor: try whole.read($0)) }, metadata: whole.metadata, to: path, replace: false)
        golden = try TraceFile.open(path)
    }

    /// The golden trace with changes: `change` gives the tensor to write, or nil to leave the probe out.
    private func copy(_ name: String = "other", metadata: JSONObject? = nil, _ change: (String, EncodedTensor) throws -> EncodedTensor?) throws -> TraceFile {
        let probes = try golden.probes.compactMap { probe in
            try change(probe, golden.read(probe)).map { (name: probe, tensor: $0) }
        }
        let path = folder.file("\(name).safetensors")
        try TraceFile.write(probes, metadata: metadata ?? golden.metadata, to: path, replace: true)
        return try TraceFile.open(path)
    }

    private func scaled(_ tensor: EncodedTensor, by factor: Float) throws -> EncodedTensor {
        try changed(tensor) { elements in for index in elements.indices { elements[index] *= factor } }
    }

    private func changed(_ tensor: EncodedTensor, _ change: (inout [Float]) -> Void) throws -> EncodedTensor {
        var elements = try tensor.widened().elements
        change(&elements)
        return EncodedTensor(try Tensor(tensor.shape, elements))
    }

    @Test func aTraceAgreesWithItself() throws {
        let other = try copy { _, tensor in tensor }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.passed && comparison.results.count == golden.probes.count)
        #expect(comparison.results.allSatisfy { $0.metrics.isExact })
        #expect(comparison.onlyInOther.isEmpty && comparison.onlyInReference.isEmpty && other.metadata == golden.metadata)
    }

    @Test("the first divergent probe is named", arguments: ["prompt_embeds", "dit.step0.modulation", "dit.step0.block.3", "vae.dec.stage.4", "vae.enc.output"])
    func firstDivergent(probe: String) throws {
        let later = Set(golden.probes.drop { $0 != probe })
        // Everything behind the defect is off too, as it would be in a run.
        let other = try copy { name, tensor in later.contains(name) && tensor.dtype == .f32 ? try scaled(tensor, by: 1.0001) : tensor }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.firstDivergent == probe)
    }

    @Test func roundingOfFloat32IsNoDivergence() throws {
        let other = try copy { name, tensor in tensor.dtype == .f32 && !name.hasPrefix("input.") ? try scaled(tensor, by: 1 + 0x1p-20) : tensor }
        #expect(try TraceComparison.compare(reference: golden, other: other).passed)
    }

    @Test func paddingRowsDoNotCount() throws {
        let mask = try golden.read("prompt_mask").doubles
        let width = try golden.read("prompt_embeds").shape[2]
        let other = try copy { name, tensor in
            guard name == "prompt_embeds" else { return tensor }
            return try changed(tensor) { elements in for row in mask.indices where mask[row] == 0 { elements[row * width] = .nan } }
        }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.passed)
        let rows = try #require(comparison.results.first { $0.name == "prompt_embeds" }?.rows)
        #expect(rows.counted == mask.count { $0 == 1 } && rows.all == 300 && rows.counted < rows.all)
    }

    @Test func aKeptRowCounts() throws {
        let other = try copy { name, tensor in
            name == "prompt_embeds" ? try changed(tensor) { $0[0] += 1 } : tensor
        }
        #expect(try TraceComparison.compare(reference: golden, other: other).firstDivergent == "prompt_embeds")
    }

    @Test func oneLevelOfAPictureIsFineTwoAreNot() throws {
        for (levels, passes) in [(UInt8(1), true), (2, false)] {
            let other = try copy("levels\(levels)") { name, tensor in
                guard name == "image_u8" else { return tensor }
                let changed = try EncodedTensor(dtype: .u8, shape: tensor.shape)
                unsafe changed.buffer.mutableBytes.copyMemory(from: tensor.bytes)
                let value = unsafe changed.buffer.mutableBytes[100]
                unsafe changed.buffer.mutableBytes[100] = value > 100 ? value - levels : value + levels
                return changed
            }
            let comparison = try TraceComparison.compare(reference: golden, other: other)
            #expect(comparison.passed == passes)
            #expect(comparison.firstDivergent == (passes ? nil : "image_u8"))
        }
    }

    @Test func missingProbesAreListedNotJudged() throws {
        let other = try copy { name, tensor in name.hasPrefix("dit.step0.block") || name == "latents" ? nil : tensor }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.passed)
        #expect(comparison.onlyInReference == golden.probes.filter { $0.hasPrefix("dit.step0.block") || $0 == "latents" })
    }

    @Test func aDifferentShapeIsAFinding() throws {
        let other = try copy { name, tensor in
            name == "dit.step0.block.2" ? EncodedTensor(dtype: tensor.dtype, shape: [tensor.shape.elementCount], buffer: tensor.buffer) : tensor
        }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.firstDivergent == "dit.step0.block.2" && comparison.findings.map(\.subject) == ["dit.step0.block.2"])
    }

    @Test func nothingInCommonIsAnError() throws {
        let path = folder.file("empty.safetensors")
        try TraceFile.write([("stranger", EncodedTensor(try Tensor([1], [1])))], metadata: JSONObject(), to: path, replace: false)
        let other = try TraceFile.open(path)
        #expect(throws: ParityError.nothingInCommon(reference: golden.path, other: path)) {
            try TraceComparison.compare(reference: golden, other: other)
        }
    }

    @Test func bfloat16ErrorsAreCalledSo() throws {
        var metadata = golden.metadata
        metadata["dtype"] = "bfloat16"
        let other = try copy(metadata: metadata) { _, tensor in tensor.dtype == .f32 ? try tensor.widened().narrowed(to: .bf16) : tensor }
        let comparison = try TraceComparison.compare(reference: golden, other: other)
        #expect(comparison.passed)
        let block = try #require(comparison.results.first { $0.name == "dit.step0.block.2" })
        #expect(block.metrics.relativeL2 > 1e-3 && block.gate.reason.contains("bfloat16"))
    }

    @Test func theYardstickTightensTheGateAgainstFloat64() throws {
        let exact = try copy("exact") { _, tensor in tensor.dtype == .f32 ? try widenedToDouble(tensor) : tensor }
        let off = try copy("off") { name, tensor in name == "latents" ? try scaled(tensor, by: 1 + 0x1p-20) : tensor }
        #expect(try TraceComparison.compare(reference: exact, other: off).passed)
        #expect(try TraceComparison.compare(reference: exact, other: off, yardstick: golden).firstDivergent == "latents")
        #expect(try TraceComparison.compare(reference: exact, other: golden, yardstick: golden).passed)
    }

    private func widenedToDouble(_ tensor: EncodedTensor) throws -> EncodedTensor {
        let wide = try EncodedTensor(dtype: .f64, shape: tensor.shape)
        for (index, value) in tensor.doubles.enumerated() {
            unsafe wide.buffer.mutableBytes.storeBytes(of: value, toByteOffset: 8 * index, as: Double.self)
        }
        return wide
    }

    @Test func metadataThatIsNoObjectIsAnError() throws {
        let path = folder.file("meta.safetensors")
        let tensor = EncodedTensor(try Tensor([1], [1]))
        let writer = try SafetensorsWriter(path: path, replace: false, tensors: [("latents", .f32, [1])], metadata: [("meta", "[1]")])
        try writer.append(tensor)
        try writer.finish()
        #expect(throws: ParityError.self) { try TraceFile.open(path) }
    }
}
