import Checkpoints
import Conversion
import Inference
import Operations
import Parity
import ProbePoints
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Proof

/// Mistakes of another engine where a control network is joined to its base.
@Suite struct ControlDefectTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static func weights(_ wiring: ControlWiring? = nil) throws -> CheckpointWeights {
        try CheckpointWeights(
            Checkpoint.open(Fixtures.path("tiny-sprint"), folders: ["controlnet": Fixtures.path("tiny-sprint-controlnet")], wiring: wiring))
    }

    private static func reference() throws -> TraceFile { try TraceFile.open(Fixtures.path("traces/tiny-control-float32.safetensors")) }

    /// PyTorch's trace with some values changed.
    private func edited(_ edit: (String, Tensor) throws -> Tensor?) throws -> TraceFile {
        let trace = try Self.reference()
        let probes = try trace.probes.map { name -> (name: String, tensor: EncodedTensor) in
            let stored = try trace.read(name)
            guard stored.dtype == .f32 else { return (name, stored) }
            return (name, try edit(name, stored.widened()).map { EncodedTensor($0) } ?? stored)
        }
        let path = folder.file("edited.safetensors")
        try TraceFile.write(probes, metadata: trace.metadata, to: path, replace: true, inputs: [])
        return try TraceFile.open(path)
    }

    private static func findings(_ other: TraceFile) throws -> [Finding] {
        try Bisection(reference: reference(), other: other, weights: weights(), on: .best).findings
    }

    @Test func anHonestTraceIsNotAccused() throws {
        let bisection = try Bisection(reference: Self.reference(), other: Self.reference(), weights: Self.weights(), on: .best)
        #expect(bisection.findings == [])
        let names = bisection.series.results.map(\.name)
        for name in ["control.vae.enc.output", "control.latents", "control.step0.block.0", "control.step0.residual.2", "dit.step0.block.3"] {
            #expect(names.contains(name), "\(name)")
        }
    }

    @Test func aForgottenScaleIsNamed() throws {
        let found = try Self.findings(try edited { name, x in name == "control.step0.residual.1" ? try x.scaled(by: 1 / 0.7) : nil })
        let first = try #require(found.first)
        #expect(first.subject == "control.step0.residual.1" && first.cause?.text == "the conditioning scale is left out", "\(first)")
    }

    @Test func latentsWithoutTheFactorAreNamed() throws {
        let found = try Self.findings(try edited { name, x in name == "control.latents" ? try x.scaled(by: 1 / 0.438904) : nil })
        let first = try #require(found.first)
        #expect(first.subject == "control.latents" && first.cause?.kind == .scaled, "\(first)")
    }

    @Test func theOtherWiringIsNamed() throws {
        let pipeline = try SanaSprintPipeline(weights: Self.weights(.diffusers), on: .best)
        let trace = try Self.reference()
        func tensor(_ name: String) throws -> Tensor { try trace.read(name).widened() }
        var request = GenerationRequest(prompt: "", noise: .given(latents: try tensor("input.latents"), steps: [try tensor("input.noise.0")]))
        request.promptFeatures = PromptFeatures(try tensor("prompt_embeds"), mask: try tensor("prompt_mask").elements.map { Int32($0) })
        request.control = ControlRequest(.latents(try tensor("control.latents")), scale: 0.7)
        let sink = ProbeCollector()
        _ = try Engine(pipeline).run(Job(request, probes: sink))
        let path = folder.file("other.safetensors")
        try TraceFile.write(
            sink.probes.compactMap { probe in sink[probe].map { (probe.name, $0) } }, metadata: trace.metadata, to: path, replace: true, inputs: [])
        let found = try Self.findings(try TraceFile.open(path))
        let first = try #require(found.first)
        #expect(first.subject == "control.step0.block.0", "\(first)")
        #expect(first.cause?.text == "the control network is wired as diffusers does it", "\(first)")
    }
}
