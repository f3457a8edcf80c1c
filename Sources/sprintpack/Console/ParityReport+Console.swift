import Files
import Inference
import Parity
import StrictJSON
import Tensors

extension ParityReport {
    /// The pictures of the page; one that cannot be encoded is left out, and its figures stay.
    static func png(_ picture: Picture) -> [UInt8]? { try? PNGImage.encode(width: picture.width, height: picture.height, rgb: picture.rgb) }

    /// Writes the page where one is asked for, and gives the report as the verb's outcome.
    func outcome(_ page: ReportPage) throws -> Outcome {
        if let file = page.file {
            try file.write(html)
            try file.commit()
        }
        guard let object = json.object else { preconditionFailure("a report is an object") }
        let path = page.file?.path
        return Outcome(
            status: passed ? .ok : .failed, text: text + (path.map { "\nreport: \($0)" } ?? ""), json: object, outputs: path.map { [$0] } ?? [])
    }

    /// What a person at a terminal wants first: the verdict, what is wrong, and the worst of what is right.
    private var text: String {
        var lines = ["\(passed ? "PASS" : "FAIL")  \(headline)"] + (verdict?.lines ?? [])
        for finding in findings {
            lines.append("  \(finding.subject): \(finding.what): expected \(finding.expected), found \(finding.found)")
            if let cause = finding.cause { lines.append("    cause: \(cause.text)") }
            if let hint = finding.hint { lines.append("    \(hint)") }
        }
        if !rungs.isEmpty {
            lines.append(Table.text(rungs.map { ["  \($0.passed ? "ok  " : "FAIL")", $0.id, $0.claim, $0.measure, $0.gate, $0.margin] }))
        }
        for series in series where !series.results.isEmpty {
            lines.append("\(series.title): \(series.results.count) probes")
            let failed = series.results.filter { !$0.passed }
            // The tightest probes tell how much room there is; all of them are in the page and in the JSON.
            let shown =
                failed.isEmpty ? Array(series.results.sorted { ($0.margin ?? .infinity) < ($1.margin ?? .infinity) }.prefix(3)) : Array(failed.prefix(20))
            lines.append(
                Table.text(
                    shown.map { probe in
                        [
                            "  \(probe.passed ? "ok  " : "FAIL")", probe.name, probe.metrics.distance,
                            "max abs \(Decimal.short(probe.metrics.maxAbs))", "gate \(probe.gate.text)",
                        ]
                    }))
            if failed.count > shown.count, !failed.isEmpty { lines.append("  ... and \(failed.count - shown.count) more") }
        }
        for advice in advice where !advice.rules.isEmpty {
            lines.append("\(advice.title), as lines of a rule file:")
            lines += advice.ruleText.split(separator: "\n").map { "  \($0)" }
            lines.append("  # \(advice.summary)")
        }
        return lines.joined(separator: "\n")
    }
}

/// The page that a verb is going to write: opened before the work, so that a report that cannot be written is not computed.
/// An earlier page of this tool is replaced without asking.
struct ReportPage {
    let file: OutputFile?

    init(_ path: String?, inputs: [FileIdentity]) throws { file = try path.map { try OutputFile(path: $0, kind: .report, replace: true, inputs: inputs) } }
}
