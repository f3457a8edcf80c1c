import Parity

extension [ReportTable] {
    /// The layers whose output is furthest from the checkpoint's when each is fed the checkpoint's inputs; none where nothing differs.
    static func worstLayers(of series: [ProbeSeries]) -> [ReportTable] {
        let alone = series.filter(\.isForced).flatMap { series in series.results.map { (series.title, $0) } }
        let worst = alone.filter { $0.1.metrics.sqnr != nil }.sorted { $0.1.metrics.relativeL2 > $1.1.metrics.relativeL2 }.prefix(10)
        guard !worst.isEmpty else { return [] }
        let rows = worst.map { title, result in
            [
                result.name, title, Decimal.short(result.metrics.relativeL2), result.metrics.sqnr.map { Decimal.fixed($0, digits: 1) } ?? "exact",
                result.margin.map { "\(Decimal.short($0))x" } ?? "",
            ]
        }
        return [
            ReportTable(
                title: "Layers furthest from the checkpoint's", columns: ["Probe", "Series", "Rel L2", "SQNR dB", "Margin"], rows: rows, topic: .worst,
                bars: .init(labels: 1, column: 2, unit: "rel L2", figures: 2))
        ]
    }
}
