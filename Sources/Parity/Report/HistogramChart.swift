internal import Glibc

/// One tensor's histogram as inline SVG: the file's values as an area, the checkpoint's as a line over it, counts on a logarithmic scale, on
/// which the tails show that decide about a quantized weight's scale.
struct HistogramChart {
    let histogram: WeightHistogram

    private let size = (width: 320.0, height: 150.0)
    private let margin = (side: 6.0, top: 8.0, bottom: 20.0)

    var html: String {
        let limit = Decimal.short(histogram.limit)
        let decibels = histogram.sqnr.map { "\(Decimal.fixed($0, digits: 1)) dB" } ?? "exact"
        let counted = histogram.rows.counted < histogram.rows.all ? ", \(histogram.rows.counted) of \(histogram.rows.all) rows" : ""
        return """
            <figure class="histogram"><svg viewBox="0 0 \(n(size.width)) \(n(size.height))" role="img" aria-label="\(HTML.escaped(histogram.name)): values in the checkpoint and in the file">
            <path class="area" d="\(steps(histogram.other, closed: true))"/><path class="outline" d="\(steps(histogram.reference, closed: false))"/>
            <text class="axis" x="\(n(margin.side))" y="\(n(size.height - 5))">-\(limit)</text><text class="axis" text-anchor="middle" x="\(n(size.width / 2))" y="\(n(size.height - 5))">0</text><text class="axis" text-anchor="end" x="\(n(size.width - margin.side))" y="\(n(size.height - 5))">\(limit)</text>
            </svg><figcaption><b>\(HTML.escaped(histogram.name))</b><br>\(HTML.escaped("\(histogram.scheme), \(decibels)\(counted); \(histogram.choice)"))</figcaption></figure>
            """
    }

    /// A staircase over the bins.
    private func steps(_ counts: [Int], closed: Bool) -> String {
        let most = max(1, max(histogram.reference.max() ?? 0, histogram.other.max() ?? 0))
        let (bottom, height) = (size.height - margin.bottom, size.height - margin.bottom - margin.top)
        let width = (size.width - 2 * margin.side) / Double(max(1, counts.count))
        var path = "M\(n(margin.side)) \(n(bottom))"
        for (index, count) in counts.enumerated() {
            path += "V\(n(bottom - height * log10(Double(count) + 1) / log10(Double(most) + 1)))H\(n(margin.side + width * Double(index + 1)))"
        }
        return path + "V\(n(bottom))" + (closed ? "Z" : "")
    }

    private func n(_ value: Double) -> String { Decimal.fixed(value, digits: 1) }
}
