/// What a probe, or a rung of the ladder, must satisfy, and why.
package struct Gate: Sendable, Equatable {
    package enum Criterion: Sendable, Equatable {
        /// Every element equal.
        case exact
        /// Relative L2 at most this.
        case relativeL2(Double)
        /// No element further off than this.
        case maxAbs(Double)
        /// Signal to noise at least this many dB.
        case sqnr(Double)
    }

    package let criterion: Criterion
    /// One sentence for the report: where the number comes from.
    package let reason: String

    package init(_ criterion: Criterion, reason: String) {
        self.criterion = criterion
        self.reason = reason
    }

    package static func exact(_ reason: String) -> Gate { Gate(.exact, reason: reason) }

    /// Whether the metrics pass. Elements that are not finite on one side only never pass.
    func accepts(_ metrics: Metrics) -> Bool {
        guard metrics.mismatches == 0 else { return false }
        return switch criterion {
        case .exact: metrics.maxAbs == 0
        case .relativeL2(let limit): metrics.relativeL2 <= limit
        case .maxAbs(let limit): metrics.maxAbs <= limit
        case .sqnr(let limit): metrics.sqnr.map { $0 >= limit } ?? true
        }
    }

    /// How far the metrics are from the gate, as a factor of error: 1 at the gate, 10 where ten times the error would still pass,
    /// below 1 where it fails; nil when there is no error at all, or where the gate is exactness.
    func margin(of metrics: Metrics) -> Double? {
        guard metrics.mismatches == 0 else { return 0 }
        let (limit, error) = (relativeLimit(of: metrics), relativeError(of: metrics))
        guard let limit, error > 0 else { return nil }
        return error.isFinite ? limit / error : 0
    }

    /// The gate as a relative error, for the chart; nil for exactness.
    func relativeLimit(of metrics: Metrics) -> Double? {
        switch criterion {
        case .exact: nil
        case .relativeL2(let limit): limit
        case .maxAbs(let limit): limit
        case .sqnr(let decibels): Decibels.amplitude(-decibels)
        }
    }

    private func relativeError(of metrics: Metrics) -> Double {
        if case .maxAbs = criterion { return metrics.maxAbs }
        return metrics.relativeL2
    }

    /// The criterion in a few characters: "rel L2 <= 1e-05".
    package var text: String {
        switch criterion {
        case .exact: "exact"
        case .relativeL2(let limit): "rel L2 <= \(Decimal.short(limit))"
        case .maxAbs(let limit): "max abs <= \(Decimal.short(limit))"
        case .sqnr(let limit): "SQNR >= \(Decimal.fixed(limit, digits: 1)) dB"
        }
    }
}
