import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// The rungs between the bytes of a file and the layers of a model: what everything above them stands on.
///
/// P1 permutations, P2 quantizer, P3 accumulators, P4 single operations, P5 layers, P6 fusions. Each is measured with this file's own weights
/// against a second, plain program for the same formulas; none needs PyTorch.
struct Ladder {
    private(set) var outcome = Outcome()
    private let file: PackedFile
    private let checkpoint: Checkpoint
    private let components: ComponentSelection

    init(_ file: PackedFile, _ checkpoint: Checkpoint, on executor: CPU, progress: (String) -> Void) throws(ProofError) {
        self.file = file
        self.checkpoint = checkpoint
        components = .listed(file.directory.components.compactMap { Component(rawValue: $0.name) })
        do {
            try climb(on: executor, progress)
        } catch let error as InferenceError {
            if let failure = ProofError(machine: error) { throw failure }
            fail("\(error)")
        } catch let error as ConversionError {
            if let failure = ProofError(machine: error) { throw failure }
            fail("\(error)")
        } catch let error as MachineError {
            throw .machine(error)
        } catch { fail("\(error)") }
    }

    private mutating func climb(on executor: CPU, _ progress: (String) -> Void) throws {
        let plain = try CheckpointWeights(checkpoint, fusions: [], components: components)
        let fused = try CheckpointWeights(checkpoint, fusions: .lossless, components: components)
        progress("places of elements")
        try outcome.take(
            PermutationRung(file, checkpoint, fused: try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components))
        )
        progress("the quantizer")
        try outcome.take(QuantizerRung(file, try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components)))
        progress("integer accumulators")
        try outcome.take(AccumulatorRung(file, on: executor))
        let configuration = try SanaSprintPipeline(weights: plain, on: executor).configuration
        progress("single operations in float64")
        try outcome.take(OperatorRung(configuration, plain, seed: 1, on: executor))
        progress("layers in float64")
        let layers = try LayerInputs(configuration, plain, on: executor)
        try outcome.take(LayerRung(layers, runtime: fused))
        progress("fusions on and off")
        var folding = Fusions.lossless
        folding.insert(.queryNorm)
        try outcome.take(
            FusionRung(
                layers,
                variants: [
                    ("concatenated", fused), ("concatenated, norm_q folded", try CheckpointWeights(checkpoint, fusions: folding, components: components)),
                ]))
        try outcome.take(TrigFlowRung(layers))
    }

    private mutating func fail(_ reason: String) {
        outcome.findings.append(Finding(subject: "the ladder", what: "run", expected: "every rung to be measured", found: reason))
    }
}

/// One rung as it is measured: errors of named things against a gate.
struct Measurements {
    private(set) var worst: (name: String, metrics: Metrics)?
    private(set) var count = 0
    private(set) var failed: [(name: String, metrics: Metrics)] = []
    let limit: Double

    init(limit: Double) { self.limit = limit }

    mutating func add(_ name: String, expected: Matrix64, found: Tensor) {
        var metrics = Metrics()
        let values = found.span
        let grid = UnitsInLastPlace(coarserOf: .f32, .f32)
        for index in values.indices { metrics.add(reference: expected.values[index], other: Double(values[index]), grid: grid) }
        add(name, metrics)
    }

    mutating func add(_ name: String, _ metrics: Metrics) {
        count += 1
        if metrics.mismatches > 0 || !(metrics.relativeL2 <= limit) { failed.append((name, metrics)) }
        if worst.map({ metrics.relativeL2 > $0.metrics.relativeL2 }) ?? true { worst = (name, metrics) }
    }

    /// The rung, and a finding for each thing that is off.
    func outcome(_ id: String, _ claim: String, unit: String, reason: String) -> Outcome {
        var outcome = Outcome()
        let measure = worst.map { "\(count) \(unit); furthest: \($0.name), relative L2 \(Decimal.short($0.metrics.relativeL2)), \($0.metrics.maxULP) ulp" }
        let margin = worst.map { $0.metrics.relativeL2 > 0 ? "\(Decimal.short(limit / $0.metrics.relativeL2))x" : "exact" }
        outcome.rungs.append(
            Rung(
                id: id, claim: claim, measure: measure ?? "nothing to measure", gate: "rel L2 <= \(Decimal.short(limit))", margin: margin ?? "exact",
                passed: failed.isEmpty, reason: reason))
        outcome.findings = failed.map { item in
            Finding(
                subject: item.name, what: "\(id): \(claim)", expected: "rel L2 <= \(Decimal.short(limit))",
                found: item.metrics.distance)
        }
        return outcome
    }
}

extension Outcome {
    mutating func take(_ rung: some LadderRung) {
        findings += rung.outcome.findings
        rungs += rung.outcome.rungs
    }
}

/// A part of the ladder that was measured.
protocol LadderRung { var outcome: Outcome { get } }

/// Numbers that repeat: a normal distribution from a fixed seed.
struct TestNumbers {
    private var generator: TorchGenerator

    init(seed: UInt64) { generator = TorchGenerator(seed: seed) }

    mutating func tensor(_ shape: Shape) throws(MachineError) -> Tensor { try Tensor(shape, generator.randn(shape.elementCount)) }

    mutating func vector(_ count: Int) -> [Float] { generator.randn(count) }
}
