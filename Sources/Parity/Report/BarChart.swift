/// Figures as horizontal bars of inline SVG, each with its label and its figure before it: where a screen is narrow, the ends of bars are out of sight.
struct BarChart {
    struct Bar {
        let label: String
        let value: Double
        /// Half the length of the whisker about the end of the bar: a standard error.
        var spread: Double?
        /// The figure as it is written.
        let figure: String
        var isMarked = false
    }

    let title: String
    let bars: [Bar]

    private let width = 720.0
    private let row = 20.0
    private let characterWidth = 6.6

    /// The chart, or nothing where there is nothing to draw.
    var svg: String {
        let finite = bars.filter(\.value.isFinite)
        let reach = finite.map { abs($0.value) + ($0.spread.flatMap { $0.isFinite ? $0 : nil } ?? 0) }.max() ?? 0
        guard reach > 0 else { return "" }
        let labels = min(300, 12 + characterWidth * Double(bars.map(\.label.count).max() ?? 0))
        let left = labels + 12 + characterWidth * Double(bars.map(\.figure.count).max() ?? 0)
        // Negative values grow to the left of the same base.
        let least = min(0, finite.map { $0.value - ($0.spread ?? 0) }.filter(\.isFinite).min() ?? 0)
        let most = max(0, finite.map { $0.value + ($0.spread ?? 0) }.filter(\.isFinite).max() ?? 0)
        func x(_ value: Double) -> Double { left + (width - left - 8) * (value - least) / max(most - least, .leastNormalMagnitude) }
        let lines = bars.enumerated().map { index, bar in line(bar, top: 4 + row * Double(index), labelEnd: labels - 8, figureEnd: left - 8, x) }
        let height = 8 + row * Double(bars.count)
        return """
            <figure class="chart bars"><svg viewBox="0 0 \(n(width)) \(n(height))" role="img" aria-label="\(HTML.escaped(title))">
            \(lines.joined(separator: "\n"))
            <line class="grid" x1="\(n(x(0)))" x2="\(n(x(0)))" y1="2" y2="\(n(height - 2))"/>
            </svg></figure>
            """
    }

    private func line(_ bar: Bar, top: Double, labelEnd: Double, figureEnd: Double, _ x: (Double) -> Double) -> String {
        let base = n(top + row - 6)
        let label = "<text class=\"axis\" text-anchor=\"end\" x=\"\(n(labelEnd))\" y=\"\(base)\">\(HTML.escaped(bar.label))</text>"
        let figure = "<text class=\"figure\" text-anchor=\"end\" x=\"\(n(figureEnd))\" y=\"\(base)\">\(HTML.escaped(bar.figure))</text>"
        guard bar.value.isFinite else { return label + figure }
        let (from, to) = (min(x(0), x(bar.value)), max(x(0), x(bar.value)))
        let kind = bar.isMarked ? "marked" : "bar"
        let body = "<rect class=\"\(kind)\" x=\"\(n(from))\" y=\"\(n(top + 3))\" width=\"\(n(max(1, to - from)))\" height=\"\(n(row - 7))\"/>"
        guard let spread = bar.spread, spread.isFinite else { return label + body + figure }
        let (low, high, middle) = (x(bar.value - spread), x(bar.value + spread), top + row / 2 - 0.5)
        let path = "M\(n(low)) \(n(middle))H\(n(high))M\(n(low)) \(n(middle - 4))v8M\(n(high)) \(n(middle - 4))v8"
        return label + body + "<path class=\"spread\" d=\"\(path)\"/>" + figure
    }

    private func n(_ value: Double) -> String { Decimal.fixed(value, digits: 1) }
}
