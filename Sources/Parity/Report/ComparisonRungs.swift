extension TraceComparison {
    /// The rungs of the ladder that two traces can show: same inputs, the parts of the model, the velocity, the picture.
    ///
    /// With exact weights the parts are judged as layers (P5), with others as quantized ones (P7).
    var rungs: [Rung] {
        let layers = TraceWeights.coarser(reference.weights, other.weights) == .int8 ? "P7" : "P5"
        let groups: [(id: String, claim: String, holds: (String) -> Bool)] = [
            ("P1", "both runs start from the same tokens, noise and times", { Self.isInput($0) }),
            (layers, "the text encoder computes what the reference's does", { $0.hasPrefix("text.") || $0 == "prompt_embeds" }),
            (layers, "the transformer computes what the reference's does", { $0.hasPrefix("dit.") && !Self.isVelocity($0) }),
            (layers, "the autoencoder computes what the reference's does", { $0.hasPrefix("vae.") }),
            ("P8", "the transformer predicts the reference's velocity", { Self.isVelocity($0) }),
            ("P9", "the picture is the reference's", { $0 == "image" || $0 == "image_u8" }),
        ]
        var taken: Set<String> = []
        return groups.compactMap { group in
            let members = results.filter { group.holds($0.name) && taken.insert($0.name).inserted }
            return members.isEmpty ? nil : Rung(group.id, group.claim, members)
        }.sorted { $0.id < $1.id }
    }

    private static func isInput(_ name: String) -> Bool {
        name.hasPrefix("input.") || name.hasSuffix("_mask") || name == "text.input_ids" || name == "dit.guidance" || name.hasSuffix(".timestep")
    }

    private static func isVelocity(_ name: String) -> Bool { name.hasPrefix("dit.step") && name.hasSuffix(".output") }
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
