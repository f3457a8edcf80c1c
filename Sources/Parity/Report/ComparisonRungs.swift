internal import ProbePoints

extension TraceComparison {
    /// The rungs of the ladder that two traces can show: same inputs, the parts of the model, the velocity, the picture.
    ///
    /// With exact weights the parts are judged as layers (P5), with others as quantized ones (P7).
    var rungs: [Rung] {
        let layers = [.int8, .int4].contains(TraceWeights.coarser(reference.weights, other.weights)) ? "P7" : "P5"
        let groups: [(id: String, claim: String, holds: (String) -> Bool)] = [
            ("P1", "both runs start from the same tokens, noise and times", { Probe($0)?.isInput == true }),
            (layers, "the text encoder computes what the reference's does", { Probe.part($0) == .textEncoder }),
            (layers, "the transformer computes what the reference's does", { Probe.part($0) == .transformer && Probe($0)?.kind != .output }),
            (layers, "the autoencoder computes what the reference's does", { Probe.part($0) == .autoencoder }),
            ("P8", "the transformer predicts the reference's velocity", { Probe($0)?.kind == .output }),
            ("P9", "the picture is the reference's", { Probe.part($0) == .picture }),
        ]
        var taken: Set<String> = []
        return groups.compactMap { group in
            let members = results.filter { group.holds($0.name) && taken.insert($0.name).inserted }
            return members.isEmpty ? nil : Rung(group.id, group.claim, members)
        }.sorted { $0.id < $1.id }
    }
}

extension Rung {
    /// A rung whose claim is that every one of some probes is within its gate; the one closest to its gate speaks for all.
    package init(_ id: String, _ claim: String, _ results: [ProbeResult]) {
        let worst = results.min { ($0.margin ?? .infinity) < ($1.margin ?? .infinity) }
        let measure = worst.map { result in
            let distance = result.metrics.isExact ? "exact" : "relative L2 \(Decimal.short(result.metrics.relativeL2))"
            return "\(results.count { $0.passed }) of \(results.count) probes; closest to its gate: \(result.name), \(distance)"
        }
        self.init(
            id: id, claim: claim, measure: measure ?? "no probe", gate: worst?.gate.text ?? "at least one probe",
            margin: worst.map { $0.margin.map { "\(Decimal.short($0))x" } ?? "exact" } ?? "none", passed: !results.isEmpty && results.allSatisfy(\.passed),
            reason: worst?.gate.reason ?? "nothing was measured")
    }
}
