package import Parity

extension ParityReport {
    /// Adds what a bisection of the compared trace found: its steps, and the causes.
    ///
    /// A step that is wrong fails the report, also where the probes alone are within their gates.
    package mutating func add(_ bisection: Bisection, to comparison: TraceComparison) {
        series.append(bisection.series)
        if !bisection.series.results.isEmpty {
            let rung = Rung("P5", "each step of the compared engine, on its own inputs, computes what the model does", bisection.series.results)
            rungs.insert(rung, at: rungs.firstIndex { $0.id > rung.id } ?? rungs.count)
        }
        findings += bisection.findings
        guard let first = bisection.findings.first else {
            if !comparison.passed, let probe = comparison.firstDivergent {
                let what = "\(headline); every step computes what the model does from its own inputs: what went in was different before \(probe)"
                fail(what)
            }
            return
        }
        fail(
            "\(first.subject) is wrong" + (first.cause.map { ": \($0.text)" } ?? "")
                + (bisection.findings.count > 1 ? " (and \(bisection.findings.count - 1) more)" : ""))
    }
}
