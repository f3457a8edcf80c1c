import Files
import Inference
import Operations
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// Every probe of the runtime against PyTorch: float32 traces of stock diffusers, and float64 ones that say what is exact.
@Suite struct GoldenTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        let checkpoint: String
        let float32: String
        var float64: String?
        var fusions = Fusions.lossless
        var precision = TableWeights.Precision.stored
        var testDescription: String { "\(float32), fusions \(fusions.rawValue), \(precision)" }
    }

    static let tiny = "tiny-sprint"
    static let goldens = [
        Golden(checkpoint: tiny, float32: "tiny-sprint/goldens/steps1.safetensors", float64: "traces/tiny-steps1-float64.safetensors"),
        Golden(checkpoint: tiny, float32: "tiny-sprint/goldens/steps2.safetensors", float64: "traces/tiny-steps2-float64.safetensors"),
        Golden(checkpoint: tiny, float32: "tiny-sprint/goldens/steps4.safetensors", float64: "traces/tiny-steps4-float64.safetensors"),
        Golden(checkpoint: tiny, float32: "traces/tiny-nonsquare-float32.safetensors"),
        Golden(checkpoint: tiny, float32: "traces/tiny-paper4-float32.safetensors"),
        Golden(checkpoint: tiny, float32: "traces/tiny-plain-float32.safetensors"),
        Golden(checkpoint: "mini", float32: "traces/mini-float32.safetensors", float64: "traces/mini-float64.safetensors"),
        Golden(checkpoint: "odd", float32: "traces/odd-float32.safetensors", float64: "traces/odd-float64.safetensors"),
    ]
    /// The same model without fusions, with the norm folded into the projection, and widened when it is read.
    static let variants = [
        Golden(checkpoint: tiny, float32: goldens[1].float32, float64: goldens[1].float64, fusions: []),
        Golden(checkpoint: tiny, float32: goldens[1].float32, float64: goldens[1].float64, fusions: [.lossless, .queryNorm]),
        Golden(checkpoint: tiny, float32: goldens[1].float32, float64: goldens[1].float64, precision: .float32),
    ]

    /// Relative to stock diffusers in float32.
    static let float32Gate = 1e-5
    /// Relative to float64: this, or twice stock diffusers' own float32 error where that is more.
    static let float64Floor = 2.5e-7

    /// The best executor meets all of them, the others one of each model and one that is not square: further steps and fusions are their layers again.
    static let runs =
        (goldens + variants).map { ($0, CPU.best) }
        + CPU.each.filter { $0 != .best }.flatMap { executor in [0, 3, 6, 7].map { (goldens[$0], executor) } }

    @Test(arguments: runs) func everyProbeIsWithinTheGates(_ golden: Golden, _ executor: CPU) throws { try Self.check(golden, on: executor) }

    /// Generates a trace's picture and compares every probe of it.
    static func check(_ golden: Golden, on executor: some Executor) throws {
        let reference = try TraceFixture(golden.float32)
        let exact = try golden.float64.map { try TraceFixture($0) }
        let pipeline = try SanaSprintPipeline(weights: TableWeights(golden.checkpoint, fusions: golden.fusions, precision: golden.precision), on: executor)
        let probes = Recorder()
        _ = try pipeline.generate(try reference.request(), probes: probes)

        let missing = reference.names.filter { probes.values[$0] == nil }
        #expect(missing.isEmpty, "probes that the runtime does not have: \(missing)")
        for name in reference.names {
            guard let value = probes.values[name] else { continue }
            let expected = try reference.tensor(name)
            #expect(value.shape == expected.shape, "\(name)")
            guard value.shape == expected.shape else { continue }
            if ![.f16, .bf16, .f32, .f64].contains(expected.dtype) {
                // Pictures may differ by a rounding; ids and masks may not.
                let difference = zip(value.contents, expected.contents).map { Int($0) - Int($1) }.map(\.magnitude).max() ?? 0
                #expect(difference <= (name == "image_u8" ? 1 : 0), "\(name)")
                continue
            }
            let ours = try reference.kept(name, value)
            let theirs = try reference.kept(name, expected)
            let error = relativeError(ours, theirs)
            #expect(error <= Self.float32Gate, "\(name) against float32")
            guard let exact else { continue }
            let truth = try reference.kept(name, try exact.tensor(name))
            let gate = max(2 * relativeError(theirs, truth), Self.float64Floor)
            #expect(relativeError(ours, truth) <= gate, "\(name) against float64")
        }
    }

    @Test(arguments: CPU.each) func generatingTwiceGivesTheSameBits(_ executor: CPU) throws {
        let request = try TraceFixture(Self.goldens[1].float32).request()
        let pipeline = try SanaSprintPipeline(weights: TableWeights(Self.tiny), on: executor)
        let (first, second) = (Recorder(), Recorder())
        _ = try pipeline.generate(request, probes: first)
        _ = try pipeline.generate(request, probes: second)
        #expect(first.values.count > 50)
        for (name, value) in first.values { #expect(second.values[name]?.contents == value.contents, "\(name)") }
    }

    @Test(arguments: CPU.each) func aPictureWithoutProbesIsTheSame(_ executor: CPU) throws {
        let trace = try TraceFixture(Self.goldens[1].float32)
        let pipeline = try SanaSprintPipeline(weights: TableWeights(Self.tiny), on: executor)
        let probes = Recorder()
        let picture = try pipeline.generate(try trace.request(), probes: probes)
        #expect(try pipeline.generate(try trace.request()) == picture)
        #expect(probes.values["image_u8"]?.contents == picture.rgb)
    }
}
