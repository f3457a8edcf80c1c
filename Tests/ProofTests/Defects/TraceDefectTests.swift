import Checkpoints
import Conversion
import Inference
import Operations
import Parity
import TestKit
import Testing

@testable import Proof

/// A mistake of another engine: PyTorch with that mistake patched in wrote the trace (Tests/Fixtures/oracle/make_defects.py).
struct TraceDefect: Sendable, CustomTestStringConvertible {
    let name: String
    /// The first step that is wrong.
    let subject: String
    let cause: Cause.Kind

    var testDescription: String { name }

    init(_ name: String, _ subject: String, _ cause: Cause.Kind) { (self.name, self.subject, self.cause) = (name, subject, cause) }

    static let all = [
        TraceDefect("soft_cap", "text.layer.0", .softCap),
        TraceDefect("text_epsilon", "text.layer.0", .normEpsilon),
        TraceDefect("embedding_scale", "text.embed", .scaled),
        TraceDefect("exchange_gate_up", "text.layer.1", .partsSwapped),
        TraceDefect("norm_offset", "text.layer.0", .normOffset),
        TraceDefect("instruction", "text.input_ids", .prompt),
        TraceDefect("exact_gelu", "dit.caption", .activation),
        TraceDefect("exchange_qk", "dit.step0.block.1", .partsSwapped),
        TraceDefect("qk_epsilon", "dit.step0.block.2", .normEpsilon),
        TraceDefect("attention_bias", "dit.step0.block.0", .biasMissing),
        TraceDefect("neighbour", "dit.step0.block.2", .wrongTensor),
        TraceDefect("cross_heads", "dit.step0.block.1", .headGrouping),
        TraceDefect("unmasked", "dit.step0.block.0", .mask),
        TraceDefect("guidance_scale", "dit.guidance", .guidance),
        TraceDefect("late_time", "dit.step0.time_embed", .timestep),
        TraceDefect("head_grouping", "vae.dec.stage.5", .headGrouping),
        TraceDefect("decoder_epsilon", "vae.dec.stage.5", .normEpsilon),
        TraceDefect("scaling_factor", "vae.dec.input", .scaled),
        TraceDefect("shortcut", "vae.dec.stage.5", .partMissing),
        TraceDefect("turned_kernels", "vae.dec.stage.1", .mirrored),
        TraceDefect("half_overflow", "vae.dec.stage.3", .overflow),
        TraceDefect("blue_first", "image_u8", .channelOrder),
        TraceDefect("transposed_latents", "latents", .transposed),
    ]
}

@Suite struct TraceDefectTests {
    private static func trace(_ path: String) throws -> TraceFile { try TraceFile.open(Fixtures.path(path)) }
    private static func weights(_ checkpoint: String, variant: String? = nil) throws -> CheckpointWeights {
        try CheckpointWeights(Checkpoint.open(Fixtures.path(checkpoint), variant: variant))
    }

    @Test("the mistake of another engine is found, located and explained", arguments: TraceDefect.all)
    func defect(_ defect: TraceDefect) throws {
        let (reference, other) = (try Self.trace("defects/reference.safetensors"), try Self.trace("defects/\(defect.name).safetensors"))
        let bisection = try Bisection(reference: reference, other: other, weights: Self.weights("mini"), on: .best)
        let first = try #require(bisection.findings.first)
        #expect(first.subject == defect.subject)
        #expect(first.cause?.kind == defect.cause, "\(first.cause?.text ?? "no cause")")
        var report = try TraceComparison.compare(reference: reference, other: other).report(environment: [], command: "")
        report.add(bisection, to: try TraceComparison.compare(reference: reference, other: other))
        #expect(!report.passed && report.headline.hasPrefix(defect.subject))
    }

    @Test(
        "honest traces are not accused, whatever they were computed in",
        arguments: [
            ("mini", "traces/mini-float32", "traces/mini-float64", nil), ("mini", "traces/mini-float64", "traces/mini-float32", nil),
            ("odd", "traces/odd-float32", "traces/odd-float64", "fp16"), ("mini", "defects/reference", "defects/reference", nil),
            ("tiny-sprint", "tiny-sprint/goldens/steps1", "traces/tiny-steps1-float64", nil),
            ("tiny-sprint", "tiny-sprint/goldens/steps2", "traces/tiny-steps2-bfloat16", nil),
            ("tiny-sprint", "traces/tiny-steps2-float64", "traces/tiny-steps2-bfloat16", nil),
        ] as [(String, String, String, String?)])
    func honest(checkpoint: String, reference: String, other: String, variant: String?) throws {
        let (right, judged) = (try Self.trace(reference + ".safetensors"), try Self.trace(other + ".safetensors"))
        let bisection = try Bisection(reference: right, other: judged, weights: Self.weights(checkpoint, variant: variant), on: .best)
        #expect(bisection.findings == [])
        #expect(bisection.series.results.count >= 10)
        #expect(try TraceComparison.compare(reference: right, other: judged).firstDivergent == nil)
    }

    @Test func errorsInBfloat16HaveTheSizeOfBfloat16() throws {
        let comparison = try TraceComparison.compare(
            reference: Self.trace("tiny-sprint/goldens/steps2.safetensors"), other: Self.trace("traces/tiny-steps2-bfloat16.safetensors"))
        #expect(comparison.passed)
        let report = comparison.report(environment: [], command: "")
        #expect(report.headline.contains("bfloat16"))
        let blocks = comparison.results.filter { $0.name.contains(".block.") }
        #expect(blocks.count >= 10 && blocks.allSatisfy { $0.metrics.relativeL2 > 0x1p-9 && $0.metrics.relativeL2 < 8 * 0x1p-8 })
    }
}
