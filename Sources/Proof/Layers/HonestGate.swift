import Parity
import ProbePoints
import Tensors

/// The gate of a probe, from what an independent draw of the same rounding does to it.
enum HonestGate {
    /// Room for chance between two draws of noise, on top of the draw's own double power.
    ///
    /// Measured on a trained five-block model, three prompts: honest int8 has 2.0 to 2.3 times less error than the gate allows where activations
    /// are int8 (their noise is in both runs), 2.6 to 3.3 times less where only weights are.
    static let factor = 2.0
    /// Two orders of float32 summation differ by less, whatever the weights.
    static let floor = 1e-5
    /// No prediction excuses more than this: rows in another order, another tensor or a doubled scale cost 0.7 to 1.4 of what they act on.
    static let ceiling = 0.3

    /// Whether a gate is as wide as any: then rounding alone may go beyond it where the file's grids are too coarse, and nothing is wrong.
    static func isWidest(_ gate: Gate) -> Bool { gate.criterion == .relativeL2(ceiling) }
    /// Whether it is such a gate that a finding tells of.
    static func isWidest(_ finding: Finding) -> Bool { finding.expected == Gate(.relativeL2(ceiling), reason: "").text }

    static func gate(predicted: Metrics) -> Gate {
        let limit = limit(predicted: predicted)
        return Gate(.relativeL2(limit), reason: reason(limit: limit))
    }

    static func limit(predicted: Metrics) -> Double { min(max(factor * predicted.relativeL2, floor), ceiling) }

    static func reason(limit: Double) -> String {
        switch limit {
        case floor: "rounding the checkpoint's weights to this file's grids does not show here: only the order of float32 sums may differ"
        case ceiling: "rounding to this file's grids costs much here, but a wrong tensor no less than 0.3"
        default: "twice what the checkpoint's weights cost when they are rounded to this file's grids at random"
        }
    }

    /// The probes of `other` judged, as far as the reference has them.
    ///
    /// Token maps may lack the rows of padding; they are then compared without.
    static func judge(_ other: ProbeCollector, reference: ProbeCollector, predicted: ProbeCollector) throws(MachineError) -> [ProbeResult] {
        var results: [ProbeResult] = []
        for probe in other.probes {
            guard let found = other[probe], var expected = reference[probe], probe.kind != .bytes else { continue }
            if expected.dtype == .i32 && found.dtype == .i32 && expected.shape == found.shape {
                results.append(ProbeResult(probe.name, reference: expected, other: found, gate: .exact("both tokenizers must say the same")))
                continue
            }
            if expected.shape != found.shape, found.shape.rank == 3, let rows = try reference.rows(probe, found.shape[1]) {
                expected = EncodedTensor(rows).batched
            }
            guard expected.shape == found.shape, let noisy = predicted[probe], noisy.shape == found.shape else { continue }
            let mask = probe.mask.flatMap { reference[$0]?.doubles.map { $0 != 0 } }
            let keep = mask.flatMap { $0.count == found.shape.extents.dropLast().reduce(1, *) ? $0 : nil }
            let gate = gate(predicted: Metrics(reference: expected, other: noisy, keep: keep))
            results.append(ProbeResult(probe.name, reference: expected, other: found, keep: keep, gate: gate))
        }
        return results
    }
}
