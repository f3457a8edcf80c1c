import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Parity

@Suite struct ParityReportTests {
    private func report(passed: Bool = false) throws -> ParityReport {
        var report = ParityReport(
            kind: .comparison, title: "Comparison", passed: passed, headline: "<b> & \"quotes\"", environment: [("CPU", "some <cpu>")],
            command: "sprintpack compare 'a b' c")
        let reference = try Tensor([2], [1, 2])
        report.series = [
            ProbeSeries(
                title: "Probes", note: "as they flow",
                results: [
                    ProbeResult(
                        "same", reference: EncodedTensor(reference), other: EncodedTensor(reference), gate: Gate(.relativeL2(1e-5), reason: "because")),
                    ProbeResult(
                        "wrong", reference: EncodedTensor(reference), other: EncodedTensor(try Tensor([2], [1, .infinity])),
                        gate: Gate(.relativeL2(1e-5), reason: "because")),
                    ProbeResult(
                        "off", reference: EncodedTensor(reference), other: EncodedTensor(try Tensor([2], [1, 3])),
                        gate: Gate(.relativeL2(1e-5), reason: "because")),
                ])
        ]
        report.findings = [Finding(subject: "x", what: "shape", expected: "[1]", found: "[2]")]
        report.pictures = [ReportPicture(caption: "ours", width: 1, height: 1, png: Array("any carnal pleas".utf8))]
        return report
    }

    @Test func pageNeedsNoNetworkAndEscapesEveryText() throws {
        let page = String(decoding: try report().html, as: UTF8.self)
        #expect(!page.contains("http") && !page.contains("<script") && !page.contains("url("))
        #expect(page.contains("&lt;b&gt; &amp; &quot;quotes&quot;") && page.contains("some &lt;cpu&gt;") && page.contains("&#39;a b&#39;"))
        #expect(page.contains("prefers-color-scheme: dark") && page.contains("@media print"))
        #expect(page.contains("data:image/png;base64,YW55IGNhcm5hbCBwbGVhcw=="))
    }

    @Test func verdictComesFirst() throws {
        let page = String(decoding: try report().html, as: UTF8.self)
        let body = try #require(page.split(separator: "<main>").last)
        #expect(body.drop { $0.isWhitespace }.hasPrefix("<header><p class=\"verdict bad\">FAIL</p>"))
        #expect(String(decoding: try report(passed: true).html, as: UTF8.self).contains("<p class=\"verdict ok\">PASS</p>"))
        #expect(page.contains("First divergent probe: <b>wrong</b>"))
    }

    @Test func jsonHasTheFiguresOfThePage() throws {
        let report = try report()
        let json = try JSONValue.parse(report.json.canonicalText)
        let probes = try #require(json["series"]?.array?.first?["probes"]?.array)
        #expect(probes.count == 3 && probes[1]["passed"]?.bool == false)
        #expect(probes[2]["metrics"]?["relative_l2"]?.double == report.series[0].results[2].metrics.relativeL2)
        #expect(probes[1]["metrics"]?["infinite"]?["other"]?.integer == 1)
        #expect(probes[0]["metrics"]?["sqnr_db"]?.isNull == true, "no error has no decibels")
        #expect(json["series"]?.array?.first?["first_divergent"]?.string == "wrong")
    }

    @Test("numbers read the same everywhere", arguments: [(1e-5, "1e-05"), (0.123456, "0.123"), (0, "0"), (.infinity, "infinite"), (-1.5, "-1.5")])
    func decimals(value: Double, text: String) { #expect(Decimal.short(value) == text) }
}
