package import Files

extension ParityReport {
    /// The report as one page that needs nothing else: no script, no font, no network.
    package var html: [UInt8] {
        var page: [String] = []
        page.append("<header><p class=\"verdict \(passed ? "ok" : "bad")\">\(passed ? "PASS" : "FAIL")</p>\(badge)<h1>\(HTML.escaped(title))</h1>")
        page.append("<p class=\"headline\">\(HTML.escaped(headline))</p></header>")
        if let verdict { page.append(section("Quality", verdict.html)) }
        page.append(HTML.definitions(environment))
        if !findings.isEmpty { page.append(section("Findings", findingsTable)) }
        if !rungs.isEmpty { page.append(section("The ladder", rungsTable)) }
        for series in series { page.append(section(series.title, series.html)) }
        page += sections(about: .worst)
        if !histograms.isEmpty { page.append(section("Weights against their quantized selves", histogramGrid)) }
        page += sections(about: .sizes)
        if !pictures.isEmpty { page.append(section("Pictures", "<div class=\"pictures\">\(pictures.map(\.html).joined())</div>")) }
        page += sections(about: .picture)
        for advice in advice { page.append(section(advice.title, advice.html)) }
        page += sections(about: .other)
        if !onlyInReference.isEmpty { page.append(section("Only in the reference", HTML.list(onlyInReference))) }
        if !onlyInOther.isEmpty { page.append(section("Only in the compared trace", HTML.list(onlyInOther))) }
        if !command.isEmpty { page.append(section("To get this report again", "<pre>\(HTML.escaped(command))</pre>")) }
        return Array(HTML.page(title: title, body: page.joined(separator: "\n")).utf8)
    }

    private var badge: String {
        verdict.map { "<p class=\"verdict \($0.isGood ? "ok" : "bad")\">\(HTML.escaped($0.word))</p>" } ?? ""
    }

    private func section(_ title: String, _ body: String) -> String { "<section><h2>\(HTML.escaped(title))</h2>\(body)</section>" }

    private func sections(about topic: ReportTable.Topic) -> [String] { tables.filter { $0.topic == topic }.map { section($0.title, $0.html) } }

    private var findingsTable: String {
        let rows = findings.map { HTML.Row([$0.subject, $0.what, $0.expected, $0.found, $0.cause?.text ?? "", $0.hint ?? ""], passed: false) }
        return HTML.table(["Subject", "What", "Expected", "Found", "Cause", "Next step"], rows)
    }

    private var rungsTable: String {
        let rows = rungs.map { HTML.Row([$0.id, $0.passed ? "OK" : "FAIL", $0.claim, $0.measure, $0.gate, $0.margin, $0.reason], passed: $0.passed) }
        return HTML.table(["", "", "Claim", "Measured", "Gate", "Margin", "Why this gate"], rows, stacks: true)
    }

    private var histogramGrid: String {
        "<p><span class=\"key\"></span>checkpoint <span class=\"key area\"></span>file. Counts are drawn on a logarithmic scale: tails decide about scales.</p>"
            + "<div class=\"histograms\">\(histograms.map { HistogramChart(histogram: $0).html }.joined(separator: "\n"))</div>"
    }
}

extension ProbeSeries {
    fileprivate var html: String {
        let rows = results.map { result in
            let metrics = result.metrics
            let counted = result.rows.map { " (\($0.counted) of \($0.all) rows)" } ?? ""
            let odd = metrics.mismatches > 0 ? "\(metrics.mismatches) not finite on one side" : ""
            return HTML.Row(
                [
                    result.name, "\(result.shape)\(counted)", Decimal.short(metrics.relativeL2), Decimal.short(metrics.maxAbs),
                    metrics.sqnr.map { Decimal.fixed($0, digits: 1) } ?? "exact", Decimal.fixed(metrics.cosine, digits: 9), "\(metrics.maxULP)",
                    result.gate.text, result.margin.map { "\(Decimal.short($0))x" } ?? "", result.passed ? "OK" : "FAIL \(odd)",
                ], passed: result.passed, hint: result.gate.reason, isFirst: result.name == firstDivergent)
        }
        let columns = ["Probe", "Shape", "Rel L2", "Max abs", "SQNR dB", "Cosine", "Max ulp", "Gate", "Margin", ""]
        var reasons: [String] = []
        for result in results where !reasons.contains(result.gate.reason) { reasons.append(result.gate.reason) }
        let first = firstDivergent.map { "<p class=\"first\">First divergent probe: <b>\(HTML.escaped($0))</b></p>" } ?? ""
        let chart = ErrorChart(series: self).svg
        let table = HTML.table(columns, rows, numbersFrom: 2)
        // What fails is never folded away, and neither is what no chart shows.
        let shown = chart.isEmpty || firstDivergent != nil ? table : HTML.folded("All \(results.count) probes", table)
        return "<p>\(HTML.escaped(note))</p>\(first)\(chart)\(shown)" + HTML.folded("Why these gates", HTML.list(reasons))
    }
}

extension ReportTable {
    var html: String {
        let chart = bars.map { bars in
            BarChart(
                title: title,
                bars: rows.map { row in
                    let label = row[..<bars.labels].joined(separator: " ")
                    return BarChart.Bar(label: label, value: Double(row[bars.column]) ?? .nan, figure: "\(row[bars.column]) \(bars.unit)")
                }
            ).svg
        }
        return (chart ?? "") + HTML.table(columns, rows.map { HTML.Row($0) }, numbersFrom: bars?.figures ?? .max)
    }
}

extension ReportPicture {
    fileprivate var html: String {
        """
        <figure><img width="\(width)" height="\(height)" alt="\(HTML.escaped(caption))" src="data:image/png;base64,\(Base64.encode(png))">\
        <figcaption>\(HTML.escaped(caption))</figcaption></figure>
        """
    }
}

extension OutputKind {
    /// A page of this tool.
    package static let report = OutputKind("a report of sprintpack") { $0.has(Array(HTML.start.utf8)) }
}
