import ProbePoints
import Tensors
import Testing

@testable import Parity

@Suite struct GateTests {
    private func metrics(_ reference: [Float], _ other: [Float]) throws -> Metrics {
        Metrics(reference: try Tensor([reference.count], reference), other: try Tensor([other.count], other))
    }

    @Test(
        "the gate is the last value that passes",
        arguments: [
            (Gate.Criterion.relativeL2(0.25), true), (.relativeL2(0.2499), false), (.maxAbs(1), true), (.maxAbs(0.99), false), (.sqnr(12.04), true),
            (.sqnr(12.05), false), (.exact, false),
        ] as [(Gate.Criterion, Bool)])
    func limits(criterion: Gate.Criterion, passes: Bool) throws {
        let gate = Gate(criterion, reason: "")
        #expect(gate.accepts(try metrics([4, 0], [4, 1])) == passes)
        #expect(gate.accepts(try metrics([4, 0], [4, 0])))
    }

    @Test func marginIsAFactorOfError() throws {
        let metrics = try metrics([4, 0], [4, 1])
        #expect(Gate(.relativeL2(1), reason: "").margin(of: metrics) == 4)
        #expect(Gate(.maxAbs(3), reason: "").margin(of: metrics) == 3)
        #expect(abs((Gate(.sqnr(0), reason: "").margin(of: metrics) ?? 0) - 4) < 1e-12)
        #expect(Gate(.exact, reason: "").margin(of: metrics) == nil)
    }

    private func limit(_ gates: ProbeGates, _ probe: String, _ reference: DType, _ other: DType, yardstick: Double? = nil) -> Gate.Criterion {
        gates.gate(Probe(probe), types: (reference, other), yardstick: yardstick).criterion
    }

    @Test func exactWeights() {
        let gates = ProbeGates(arithmetic: .float32, weights: .exact, depth: 5)
        #expect(limit(gates, "dit.step0.block.4", .f32, .f32) == .relativeL2(1e-5))
        #expect(limit(ProbeGates(arithmetic: .float32, weights: .exact, depth: 20), "image", .f32, .f32) == .relativeL2(2e-5))
        #expect(limit(gates, "image", .f64, .f32, yardstick: 4e-7) == .relativeL2(8e-7))
        #expect(limit(gates, "image", .f64, .f32, yardstick: 1e-8) == .relativeL2(2.5e-7))
        #expect(limit(gates, "image", .f64, .f32) == .relativeL2(1e-5))
        #expect(limit(gates, "image_u8", .u8, .u8) == .maxAbs(1))
        #expect(limit(gates, "text.input_ids", .i32, .i64) == .exact)
        #expect(limit(gates, "input.noise.0", .f32, .f32) == .maxAbs(1e-6))
        #expect(limit(gates, "input.latents", .f32, .bf16) == .relativeL2(0x1p-8))
    }

    @Test func sixteenBitArithmeticGetsGatesOfItsSize() {
        let gates = ProbeGates(arithmetic: .bfloat16, weights: .exact, depth: 5)
        #expect(limit(gates, "image", .bf16, .f32) == .relativeL2(0x1p-5))
        #expect(limit(gates, "image_u8", .u8, .u8) == .relativeL2(0x1p-5))
        #expect(limit(ProbeGates(arithmetic: .bfloat16, weights: .exact, depth: 20), "image", .f32, .f32) == .relativeL2(0x1p-4))
        #expect(limit(ProbeGates(arithmetic: .float32, weights: .float16, depth: 5), "image", .f32, .f32) == .relativeL2(0x1p-8))
    }

    @Test func quantizedWeights() {
        let gates = ProbeGates(arithmetic: .float32, weights: .int8, depth: 5)
        #expect(limit(gates, "dit.step3.output", .f32, .f32) == .sqnr(28))
        #expect(limit(gates, "image_u8", .u8, .u8) == .sqnr(30))
        #expect(limit(gates, "dit.step0.block.1", .f32, .f32) == .sqnr(20))
        #expect(limit(gates, "prompt_mask", .i32, .i32) == .exact)
        #expect(limit(gates, "input.latents", .f32, .f32) == .maxAbs(1e-6))
    }
}
