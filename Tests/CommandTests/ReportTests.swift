import Files
import Foundation
import Parity
import StrictJSON
import TestKit
import Testing

/// The page and the JSON of the reports, from the real binary.
@Suite struct ReportTests {
    private let shop: Workshop

    init() throws { shop = try Workshop() }

    private static let python = ProcessInfo.processInfo.environment["SPRINTPACK_PYTHON"] ?? "python3"
    /// Whether this machine has Debian's python3-jsonschema; the Makefile's environment has.
    static let hasSchemas = (try? ChildProcess.run([python, "-c", "import jsonschema"]).status) == 0
    private static let schema = Paths.join(Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath))), "Formats/report.schema.json")
    private static let golden = Fixtures.path("tiny-sprint/goldens/steps2.safetensors")

    @Test("what --json prints is what the schema says", .enabled(if: hasSchemas))
    func schema() throws {
        let file = try shop.packed("int8")
        let other = Fixtures.path("traces/tiny-steps2-bfloat16.safetensors")
        let plain = Fixtures.path("traces/tiny-plain-float32.safetensors")
        let compared: [(arguments: [String], status: Int32)] = [
            (["verify", file], 0), (["compare", Self.golden, other], 0), (["compare", Self.golden, plain], 1),
            (["compare", Self.golden, plain, "--with", Workshop.tiny], 1),
        ]
        let runs = try compared.map { ($0.arguments, $0.status, try Tool.run($0.arguments + ["--json"])) }
        for (index, (arguments, status, result)) in (runs + [(["verify", "--against"], 0, try Workshop.verified.get().run)]).enumerated() {
            #expect(result.status == status, "\(arguments): \(result.errors)")
            let path = shop.path("\(index).json")
            try OutputFile.write(result.bytes, to: path, kind: .anything, replace: true)
            let check =
                "import json, sys, jsonschema; s, d = (json.load(open(p)) for p in sys.argv[1:]); v = jsonschema.Draft202012Validator(s); "
                + "v.check_schema(s); v.validate(d)"
            let validation = try ChildProcess.run([Self.python, "-c", check, Self.schema, path])
            #expect(validation.status == 0, "\(arguments): \(validation.errors.suffix(1500))")
            let broken = try ChildProcess.run([Self.python, "-c", check.replacing("v.validate(d)", with: "d['rungs'] = 1; v.validate(d)"), Self.schema, path])
            #expect(broken.status != 0)
        }
    }

    @Test("every figure on the page is one of the JSON", arguments: ["verify", "compare"])
    func figures(verb: String) throws {
        func compared() throws -> (run: ChildProcess.Result, page: String) {
            let page = shop.path("report.html")
            let run = try Tool.run(["compare", Self.golden, Fixtures.path("traces/tiny-steps2-bfloat16.safetensors"), "--html", page, "--json"])
            return (run, String(decoding: try InputFile(path: page).contents(limit: 1 << 24), as: UTF8.self))
        }
        let (result, html) = verb == "verify" ? try Workshop.verified.get() : try compared()
        #expect(result.status == 0, "\(result.errors)")
        let json = try result.json()
        #expect(json["ok"] == true)
        var known = Set<String>()
        Self.collect(json, into: &known)
        let figures = Self.figures(in: Self.visible(html))
        #expect(figures.count > 100)
        #expect(figures.filter { !known.contains($0) } == [])

        // And none is left out: every probe's row has that probe's figures, every advised rule stands there.
        for probe in json["series"]?.array?.flatMap({ $0["probes"]?.array ?? [] }) ?? [] {
            let name = try #require(probe["name"]?.string)
            let rows = html.components(separatedBy: "<tr").filter { $0.contains("<td>\(name)</td>") }
            let metrics = [probe["metrics"]?["relative_l2"]?.double, probe["metrics"]?["max_abs"]?.double]
            let cells = metrics.compactMap { $0 }.map { "<td class=\"n\">\(Decimal.short($0))</td>" }
            #expect(rows.contains { row in cells.allSatisfy(row.contains) }, "\(name)")
        }
        let advice = json["advice"]?.array ?? []
        #expect(advice.count == (verb == "verify" ? 2 : 0))
        for rule in advice.flatMap({ $0["rules"]?.array ?? [] }) { #expect(html.contains(try #require(rule.string))) }
        #expect(json["histograms"]?.array?.isEmpty == (verb == "compare"))
        #expect(json["pictures"]?.array?.count == 3)
    }

    @Test func theAdvisedRulesAreARuleFile() throws {
        let advice = try Workshop.verified.get().run.json()["advice"]?.array ?? []
        let rules = advice.flatMap { $0["rules"]?.array ?? [] }.compactMap(\.string)
        #expect(rules.count == 6)
        try OutputFile.write(Array((rules.joined(separator: "\n") + "\n").utf8), to: shop.path("rules"), replace: false)
        let kept = try Tool.run(
            ["convert", Workshop.tiny, "-o", shop.path("kept.sprint"), "--preset", "int8", "--rules", shop.path("rules"), "-q"] + Workshop.quick)
        #expect(kept.status == 0, "\(kept.errors)")
    }

    // MARK: - Figures

    /// Every number of a value in the forms that pages write numbers in, and the figures inside its texts.
    private static func collect(_ value: JSONValue, into known: inout Set<String>) {
        if let object = value.object { for (_, member) in object.members { collect(member, into: &known) } }
        if let array = value.array { for item in array { collect(item, into: &known) } }
        if let text = value.string { known.formUnion(figures(in: text)) }
        guard let number = value.double else { return }
        for form in [Decimal.short(number)] + [0, 1, 2, 3, 4, 9].map({ Decimal.fixed(number, digits: $0) }) { known.formUnion(figures(in: form)) }
    }

    /// Numbers with a point, an exponent or at least three digits; lower counts are in sentences.
    private static func figures(in text: String) -> Set<String> {
        Set(text.matches(of: /[0-9]+\.[0-9]+(e-?[0-9]+)?|[0-9]+e-?[0-9]+|[0-9]{3,}/).map { String($0.output.0) })
    }

    /// The text of the page, tool tips of charts included, without the labels of axes, whose round numbers are no results.
    private static func visible(_ html: String) -> String {
        var text = html.replacing(/<style>(.|\n)*?<\/style>/, with: "")
        text = text.replacing(/<text class="axis"[^>]*>(probes|1e)[^<]*<\/text>/, with: "")
        return text.replacing(/<[^>]*>/, with: " ")
    }
}
