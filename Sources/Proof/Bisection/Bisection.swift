package import Inference
package import Operations
package import Parity
import ProbePoints
import Tensors

/// Finds the steps of another engine that are wrong, each on its own, and what is wrong with them.
///
/// Two views of one trace. Free-running (`TraceComparison`): the first probe that differs from the reference's. Teacher-forced (here): every
/// step is computed by our runtime from the inputs that the other engine's own step had, so that an error that merely came in is not
/// held against it. In a step that is wrong, known mistakes are made on purpose, one after the other; one that gives the other engine's
/// values is the cause.
package struct Bisection {
    /// Every probe that could be computed from the trace's own earlier ones: `reference` is ours, `other` the trace's.
    let series: ProbeSeries
    let findings: [Finding]
    /// Probes that are missing in the trace and had to be computed on the way; an error in them shows in the next probe that is there.
    let computed: [String]

    /// - Parameters:
    ///   - reference: a trace that is right, for what the other one does not say and to see what the weights alone cost.
    ///   - weights: those of the model that both traces are of.
    package init(
        reference: TraceFile, other: TraceFile, weights: any WeightSource, on executor: CPU, progress: (String) -> Void = { _ in }
    ) throws(ProofError) {
        do {
            let search = try Search(reference: reference, other: other, weights: weights, on: executor)
            let (results, findings) = try search.run(progress)
            let note = "Each step computed by this program from what the other engine's own step was fed: an error cannot travel, the step that is wrong shows."
            series = ProbeSeries(title: "Step by step", note: note, results: results, isForced: true)
            self.findings = findings
            computed = ProbeOrder.sorted(reference.probes).filter { Probe($0)?.isComputed == true && other.entry($0) == nil }
        } catch let error as ProofError { throw error } catch let error as InferenceError { throw .inference(error) } catch let error as MachineError {
            throw .machine(error)
        } catch { throw .trace("\(error)") }
    }
}

/// The search itself.
private struct Search {
    let reference: TraceFile
    let other: TraceFile
    let weights: any WeightSource
    let executor: CPU
    let configuration: SanaSprintConfiguration
    let gates: StepGates

    init(reference: TraceFile, other: TraceFile, weights: any WeightSource, on executor: CPU) throws {
        self.reference = reference
        self.other = other
        self.weights = weights
        self.executor = executor
        configuration = try SanaSprintPipeline(weights: weights, on: executor).configuration
        gates = StepGates(arithmetic: max(reference.arithmetic, other.arithmetic), weights: TraceWeights.coarser(reference.weights, other.weights))
    }

    private func probes(of trace: TraceFile, _ suspicion: Suspicion? = nil) throws -> ProbeRun {
        var source = weights
        if let suspicion { source = VariantWeights(source: weights, suspicion: suspicion) }
        let configuration =
            suspicion.map { $0.configuration.isEmpty } ?? true ? self.configuration : try SanaSprintPipeline(weights: source, on: executor).configuration
        let values = TraceValues(file: trace, fallback: trace.path == reference.path ? nil : reference)
        return ProbeRun(
            parts: ModelParts(configuration, from: source, on: executor), values: values, honest: ModelParts(self.configuration, from: weights, on: executor),
            slip: suspicion?.slip ?? .none)
    }

    func run(_ progress: (String) -> Void) throws -> ([ProbeResult], [Finding]) {
        let (mine, theirs) = (try probes(of: other), try probes(of: reference))
        var (results, findings) = ([ProbeResult](), [Finding]())
        if let finding = try TokenCauses.check(mine.values, weights) { findings.append(finding) }
        var explained: [String] = []
        for name in other.probes {
            mine.length.steps = 0
            guard let probe = Probe(name), let found = try mine.values.tensor(probe), let expected = try Self.computed(mine, probe),
                expected.count == found.count
            else { continue }
            progress(name)
            // What the reference's own step shows with these weights is no fault of the other engine.
            var honest: Double?
            if let right = try theirs.values.tensor(probe), let made = try Self.computed(theirs, probe), made.count == right.count {
                honest = Metrics(reference: EncodedTensor(made), other: EncodedTensor(right.reshaped(made.shape))).relativeL2
            }
            let gate = gates.gate(probe, steps: mine.length.steps, honest: honest)
            let result = ProbeResult(name, reference: EncodedTensor(expected), other: EncodedTensor(found.reshaped(expected.shape)), gate: gate)
            results.append(result)
            guard !result.passed else { continue }
            let cause = try self.cause(probe, result, expected, found)
            // The same mistake shows in every step of the sampler: it is told once.
            let place = probe.at(probe.step.map { _ in 0 }).name
            guard !explained.contains("\(place) \(cause.text)") else { continue }
            explained.append("\(place) \(cause.text)")
            findings.append(
                Finding(
                    subject: name, what: "this step alone", expected: gate.text,
                    found: "\(result.metrics.distance) from its own inputs", hint: cause.kind == .unknown ? Self.help : nil,
                    cause: cause))
        }
        return (results, findings)
    }

    /// Nil also where the model lacks a weight that the step needs: a file with a frozen schedule has no embedders.
    private static func computed(_ run: ProbeRun, _ probe: Probe) throws -> Tensor? {
        do { return try run.compute(probe) } catch InferenceError.missing { return nil } catch InferenceError.missingComponent { return nil }
    }

    private static let help = "none of the known mistakes gives these values; store probes inside this step to look closer"

    /// The mistake that gives the values found.
    private func cause(_ probe: Probe, _ result: ProbeResult, _ expected: Tensor, _ found: Tensor) throws -> Cause {
        let limit = gates.limit(result.gate)
        let pair = TensorPair(expected: expected, found: found.reshaped(expected.shape), tolerance: limit)
        if result.metrics.mismatches > 0, let cause = try CauseSearch.run(pair) { return cause }
        var best: (suspicion: Suspicion, residual: Double)?
        for suspicion in Suspicions.of(probe, configuration, weights.fusions) {
            guard let made = try? probes(of: other, suspicion).compute(probe), made.count == found.count else { continue }
            let residual = TensorPair(expected: made, found: found.reshaped(made.shape), tolerance: limit).distance
            guard residual <= limit, residual <= pair.distance / 3, residual < (best?.residual ?? .infinity) / 2 else { continue }
            best = (suspicion, residual)
        }
        if let best { return Cause(best.suspicion.kind, best.suspicion.text, residual: best.residual) }
        if let cause = try Constants.cause(pair, probe, configuration, try probes(of: other)) ?? CauseSearch.run(pair), cause.kind != .fewElements {
            return cause
        }
        return Cause(.unknown, "this step computes something else than the model")
    }
}

/// The gate of one step on its own inputs.
struct StepGates {
    let arithmetic: Arithmetic
    let weights: TraceWeights

    /// - Parameters:
    ///   - steps: how many steps lie between the probe and the values it was computed from; 1 where the trace has all.
    ///   - honest: relative L2 of the reference's own step.
    func gate(_ probe: Probe, steps: Int, honest: Double?) -> Gate {
        if probe.kind == .bytes, arithmetic <= .float32, weights == .exact {
            return Gate(.maxAbs(1), reason: "an 8-bit picture may differ by one level where a value lies at the edge of two")
        }
        let (one, reason) = single
        let growth = Double(max(1, steps)).squareRoot()
        let own = 4 * (honest ?? 0)
        if own > one * growth { return Gate(.relativeL2(own), reason: "four times what the reference's own step shows with these weights") }
        return Gate(.relativeL2(one * growth), reason: reason + (steps > 1 ? "; \(steps) steps without a probe between them" : ""))
    }

    /// The limit of one step, and why.
    private var single: (Double, String) {
        switch weights {
        case .int8, .int4: return (0.05, "integers: one step of the same integers differs where a value lies at the edge of two")
        case .bfloat16: return (8 * Arithmetic.bfloat16.unitRoundoff, "weights rounded to bfloat16")
        case .float16: return (8 * Arithmetic.float16.unitRoundoff, "weights rounded to float16")
        case .exact where arithmetic <= .float32: return (1e-5, "one step in float32: two honest orders of summation differ by about 1e-6")
        case .exact:
            let unit = arithmetic.unitRoundoff
            return (4 * unit, "one step in \(arithmetic.rawValue): four roundings of up to \(Decimal.short(unit))")
        }
    }

    /// The relative L2 that a repeated mistake may leave.
    func limit(_ gate: Gate) -> Double { if case .relativeL2(let limit) = gate.criterion { limit } else { 1e-2 } }
}
