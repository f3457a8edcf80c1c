import Inference
import Operations
import Parity
import ProbePoints
import StrictJSON
import Tensors

/// The outputs of a file's layers held against a certificate.
struct CertificateJudgement {
    /// Each against the checkpoint's output, within what honest rounding explains.
    private(set) var results: [ProbeResult] = []
    /// Each against the file's own output at conversion: relative L2, and what it may be.
    private(set) var repeats: [(name: String, distance: Double, limit: Double)] = []
    /// Probes that could not be computed, or in another shape.
    private(set) var missing: [String] = []

    init(_ probes: [Certificate.Step], _ values: CertificateValues, _ outputs: [ExactString: Tensor]) {
        for probe in probes {
            guard let expected = values[probe.name], let found = outputs[ExactString(probe.name)], found.shape == expected.shape else {
                missing.append(probe.name)
                continue
            }
            let gate = Gate(.relativeL2(probe.honest), reason: HonestGate.reason(limit: probe.honest))
            let result = ProbeResult(probe.name, reference: EncodedTensor(expected), other: EncodedTensor(found), gate: gate)
            results.append(result)
            let norm = result.metrics.referenceRMS * Double(result.metrics.count).squareRoot()
            let distance = Fingerprint.distance(Fingerprint.of(found), probe.fingerprint)
            repeats.append((probe.name, distance == 0 ? 0 : distance / norm, probe.repeated))
        }
    }

    /// Of a file's layers on whatever executor.
    init(_ certificate: Certificate, _ pipeline: SanaSprintPipeline<some Executor>, _ progress: (String) -> Void) throws {
        var outputs: [ExactString: Tensor] = [:]
        try CertificateWalk(pipeline: pipeline, inputs: certificate.inputs, values: certificate.values, draws: { _ in 0 }) {
            outputs[ExactString($0)] = $1[0]
        }.run(progress)
        self.init(certificate.steps, certificate.values, outputs)
    }

    func series(_ title: String) -> ProbeSeries {
        let note = "The file's layers, each fed what the checkpoint's layer was fed at conversion, against what that layer gave: values of the certificate."
        return ProbeSeries(title: title, note: note, results: results)
    }

    private static let velocities = [
        (Probe(.velocity).name, "the whole transformer computes the checkpoint's velocity"),
        (Probe(.controlVelocity).name, "the whole transformer with its control network computes the checkpoint's velocity"),
    ]
    private static let parts = [
        ("text.", "text encoder"), ("dit.", "transformer"), ("control.", "control network"), ("vae.dec.", "decoder"), ("vae.enc.", "encoder"),
    ]

    /// What is claimed of the file's layers, by the ladder's rungs.
    var rungs: [Rung] {
        var rungs: [Rung] = []
        for (prefix, part) in Self.parts {
            let own = results.filter { result in result.name.hasPrefix(prefix) && !Self.velocities.contains { $0.0 == result.name } }
            if !own.isEmpty { rungs.append(Self.rung("P7", "each layer of the \(part) computes what the checkpoint's computed", own)) }
        }
        for (name, claim) in Self.velocities {
            let whole = results.filter { $0.name == name }
            if !whole.isEmpty { rungs.append(Self.rung("P8", claim, whole)) }
        }
        return rungs
    }

    private static func rung(_ id: String, _ claim: String, _ results: [ProbeResult]) -> Rung {
        let closest = results.min { ($0.margin ?? .infinity) < ($1.margin ?? .infinity) }
        let decibels = closest?.metrics.sqnr.map { "\(Decimal.fixed($0, digits: 1)) dB" } ?? "exact"
        return Rung(
            id: id, claim: claim,
            measure: "\(results.count { $0.passed }) of \(results.count) probes; closest to its gate: \(closest?.name ?? ""), \(decibels)",
            gate: "each probe's own", margin: closest?.margin.map { "\(Decimal.short($0))x" } ?? "exact", passed: results.allSatisfy(\.passed),
            reason: "what the checkpoint's weights cost when they are rounded to this file's grids at random, twice; recorded in the certificate")
    }

    /// What is claimed again: nothing has changed since the file was made.
    var repetition: Rung {
        let closest = repeats.max { $0.distance / $0.limit < $1.distance / $1.limit }
        let held = repeats.count { $0.distance <= $0.limit }
        return Rung(
            id: "P7", claim: "layers compute what they computed when the file was made",
            measure: "\(held) of \(repeats.count) probes; closest to its gate: \(closest?.name ?? ""), relative L2 \(Decimal.short(closest?.distance ?? 0))",
            gate: "each probe's own", margin: closest.flatMap { $0.distance > 0 ? "\(Decimal.short($0.limit / $0.distance))x" : nil } ?? "exact",
            passed: held == repeats.count,
            reason: "float32 sums in another order, 1e-5; where inputs become integers, four times what noise of 2e-6 on the input changed at conversion")
    }

    /// One finding for each place where a claim fails.
    var findings: [Finding] {
        var findings: [Finding] = []
        for (result, again) in zip(results, repeats) where !result.passed || !(again.distance <= again.limit) {
            let place = Self.place(of: result.name)
            // Rounding at random cost more than half of the widest gate when the file was made, and the layer computes what it did then.
            let isCoarse = HonestGate.isWidest(result.gate) && again.distance <= again.limit
            let hint =
                isCoarse
                ? "\(place) is as it was converted, but rounded too coarsely: keep some of it in 16 bits (convert --rules)"
                : "something of \(place) is not what was converted; verify --against the checkpoint names the tensor"
            if result.passed {
                findings.append(
                    Finding(
                        subject: place, what: "\(result.name): the file's own output when it was made",
                        expected: "relative L2 <= \(Decimal.short(again.limit))",
                        found: "relative L2 \(Decimal.short(again.distance))", hint: hint))
            } else {
                findings.append(
                    Finding(
                        subject: place, what: "\(result.name): the checkpoint's output", expected: result.gate.text,
                        found: result.metrics.distance, hint: hint))
            }
        }
        return findings + missing.map { Finding(subject: Self.place(of: $0), what: $0, expected: "to be computed again", found: "no such output") }
    }

    /// The weights that a probe depends on, as their names begin.
    private static func place(of name: String) -> String {
        guard let probe = Probe(certificate: name) else { return name }
        switch probe.kind {
        case .block: return SanaSprintWeights.block(probe.index ?? 0)
        case .textLayer: return String(SanaSprintWeights.textLayer(probe.index ?? 0).dropLast())
        case .velocity: return "dit"
        case .controlBlock: return SanaSprintWeights.controlBlock(probe.index ?? 0)
        case .controlResidual: return SanaSprintWeights.controlBlock(probe.index ?? 0) + ".residual"
        case .controlVelocity: return "control"
        case .controlModulation: return "control.time, control.guidance, control.modulation"
        case .controlPatches: return "control.patch"
        case .output, .outputNorm: return "dit.out"
        case .timeEmbedding, .modulation: return "dit.time, dit.guidance, dit.modulation"
        case .patches: return "dit.patch"
        case .decoded: return "vae.dec"
        case .encoded: return "vae.enc"
        default: return name
        }
    }
}
