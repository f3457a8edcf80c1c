internal import Glibc

/// Error against depth as inline SVG: one dot per probe on a logarithmic scale, the gate as a line above them.
struct ErrorChart {
    let series: ProbeSeries

    private let size = (width: 900.0, height: 260.0)
    private let margin = (left: 56.0, right: 12.0, top: 12.0, bottom: 30.0)

    private struct Point {
        let name: String
        /// log10 of the relative error; nil where there is none.
        let error: Double?
        let gate: Double?
        let passed: Bool
    }

    /// The chart, or nothing where no probe has an error that a scale could show.
    var svg: String {
        let points = series.results.map { result in
            let error = result.gate.criterion.isAbsolute ? result.metrics.maxAbs : result.metrics.relativeL2
            let limit = result.gate.relativeLimit(of: result.metrics)
            return Point(
                name: "\(result.name): \(Decimal.short(error))\(limit.map { ", gate \(Decimal.short($0))" } ?? "")",
                error: error > 0 && error.isFinite ? log10(error) : nil, gate: limit.map { log10($0) }, passed: result.passed)
        }
        let values = points.compactMap(\.error) + points.compactMap(\.gate)
        guard points.count > 1, let least = values.min(), let most = values.max() else { return "" }
        let (low, high) = (floor(least), max(ceil(most), floor(least) + 1))
        func x(_ index: Int) -> Double { margin.left + (size.width - margin.left - margin.right) * (Double(index) + 0.5) / Double(points.count) }
        func y(_ value: Double) -> Double { margin.top + (size.height - margin.top - margin.bottom) * (high - value) / (high - low) }
        let ticks = stride(from: low, through: high, by: max(1, ((high - low) / 8).rounded(.up))).map { grid(y($0), label: "1e\(Int($0))") }
        let gates = points.enumerated().compactMap { index, point in point.gate.map { "\(n(x(index))),\(n(y($0)))" } }
        let line = points.enumerated().compactMap { index, point in point.error.map { "\(n(x(index))),\(n(y($0)))" } }
        let dots = points.enumerated().map { index, point in mark(point, x(index), y(point.error ?? low)) }
        return """
            <figure class="chart"><svg viewBox="0 0 \(n(size.width)) \(n(size.height))" role="img" aria-label="\(HTML.escaped(series.title)): error of each probe and its gate">
            \(ticks.joined(separator: "\n"))
            <polyline class="gate" points="\(gates.joined(separator: " "))"/>
            <polyline class="error" points="\(line.joined(separator: " "))"/>
            \(dots.joined(separator: "\n"))
            <text class="axis" x="\(n(margin.left))" y="\(n(size.height - 8))">probes in data-flow order, \(points.count) in all</text>
            </svg><figcaption><span class="key error"></span>error (relative L2; inputs and 8-bit pictures: largest difference)
            <span class="key gate"></span>gate; dots on the floor: no error at all</figcaption></figure>
            """
    }

    private func grid(_ y: Double, label: String) -> String {
        """
        <line class="grid" x1="\(n(margin.left))" x2="\(n(size.width - margin.right))" y1="\(n(y))" y2="\(n(y))"/>\
        <text class="axis" text-anchor="end" x="\(n(margin.left - 6))" y="\(n(y + 4))">\(label)</text>
        """
    }

    /// A dot, or a cross where the probe fails: never told by colour alone.
    private func mark(_ point: Point, _ x: Double, _ y: Double) -> String {
        let title = "<title>\(HTML.escaped(point.name))</title>"
        if point.passed { return "<circle class=\"\(point.error == nil ? "none" : "ok")\" cx=\"\(n(x))\" cy=\"\(n(y))\" r=\"3\">\(title)</circle>" }
        return "<path class=\"bad\" d=\"M\(n(x - 5)) \(n(y - 5))l10 10m0 -10l-10 10\">\(title)</path>"
    }

    private func n(_ value: Double) -> String { Decimal.fixed(value, digits: 1) }
}

extension Gate.Criterion {
    /// Whether the gate is on differences themselves, not on their ratio to the reference.
    fileprivate var isAbsolute: Bool { if case .maxAbs = self { true } else { false } }
}
