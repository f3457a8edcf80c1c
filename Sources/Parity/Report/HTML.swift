/// The few pieces of HTML that reports are made of. Every text from a file goes through `escaped`.
enum HTML {
    struct Row {
        let cells: [String]
        var passed: Bool?
        var hint: String?
        var isFirst = false

        init(_ cells: [String], passed: Bool? = nil, hint: String? = nil, isFirst: Bool = false) {
            self.cells = cells
            self.passed = passed
            self.hint = hint
            self.isFirst = isFirst
        }
    }

    static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    static func definitions(_ pairs: [(name: String, value: String)]) -> String {
        "<dl>" + pairs.map { "<dt>\(escaped($0.name))</dt><dd>\(escaped($0.value))</dd>" }.joined() + "</dl>"
    }

    static func list(_ items: [String]) -> String { "<ul>" + items.map { "<li>\(escaped($0))</li>" }.joined() + "</ul>" }

    /// A table in a box of its own that scrolls sideways on narrow screens; columns from `numbersFrom` on are aligned right.
    /// - Parameter stacks: whether narrow screens show the cells of a row one below the other instead; for the ladder, whose columns `style` names.
    static func table(_ columns: [String], _ rows: [Row], numbersFrom: Int = .max, stacks: Bool = false) -> String {
        func cell(_ tag: String, _ index: Int, _ text: String) -> String {
            // Sentences wrap, names and figures do not.
            let kind = index >= numbersFrom ? " class=\"n\"" : text.utf8.count > 40 ? " class=\"t\"" : ""
            return "<\(tag)\(kind)>\(escaped(text))</\(tag)>"
        }
        let head = columns.enumerated().map { cell("th", $0.offset, $0.element) }.joined()
        let body = rows.map { row in
            let classes = [row.passed == false ? "bad" : nil, row.isFirst ? "firstrow" : nil].compactMap { $0 }.joined(separator: " ")
            let title = row.hint.map { " title=\"\(escaped($0))\"" } ?? ""
            return "<tr class=\"\(classes)\"\(title)>" + row.cells.enumerated().map { cell("td", $0.offset, $0.element) }.joined() + "</tr>"
        }
        let box = stacks ? "wide stacked" : "wide"
        return "<div class=\"\(box)\"><table><thead><tr>\(head)</tr></thead><tbody>\n\(body.joined(separator: "\n"))</tbody></table></div>"
    }

    /// Something that is out of sight until it is asked for; printed pages show it.
    static func folded(_ summary: String, _ body: String) -> String { "<details><summary>\(escaped(summary))</summary>\(body)</details>" }

    /// The beginning of every page.
    static let start = """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="generator" content="sprintpack">
        """

    static func page(title: String, body: String) -> String {
        """
        \(start)
        <meta name="color-scheme" content="light dark"><title>\(escaped(title))</title>
        <style>\(style)</style></head><body><main>
        \(body)
        </main></body></html>

        """
    }

    private static let style = """
        :root { --text: #1b1f24; --soft: #59636e; --line: #d1d9e0; --paper: #ffffff; --band: #f6f8fa; --ok: #1a7f37; --bad: #cf222e; --mark: #0969da; --gate: #9a6700; --fill: #c6d5e8; }
        @media (prefers-color-scheme: dark) {
          :root { --text: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --band: #151b23; --ok: #3fb950; --bad: #f85149; --mark: #58a6ff; --gate: #d29922; --fill: #2d4a6b; }
        }
        @media print { :root { --text: #000; --soft: #444; --line: #bbb; --paper: #fff; --band: #fff; --ok: #1a7f37; --bad: #cf222e; --mark: #0969da; --gate: #9a6700; --fill: #c6d5e8; }
          section { break-inside: auto; } tr, figure { break-inside: avoid; } thead { display: table-header-group; } .wide { overflow: visible; } details::details-content { content-visibility: visible; display: block; } table { font-size: 8px; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
        main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 48px; }
        header { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; }
        h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 8px; }
        .verdict { margin: 0; padding: 2px 14px; border: 2px solid; border-radius: 6px; font-weight: 700; font-size: 20px; letter-spacing: .05em; }
        .verdict.ok { color: var(--ok); } .verdict.bad, .first { color: var(--bad); }
        .headline { flex-basis: 100%; margin: 4px 0 8px; font-size: 17px; }
        dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 16px; margin: 12px 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
        .wide { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
        th, td { text-align: left; padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; } td.t { white-space: normal; min-width: 12em; } th { color: var(--soft); font-weight: 600; }
        .n { text-align: right; } tbody tr:nth-child(even) { background: var(--band); }
        tr.bad td { color: var(--bad); } tr.firstrow td { font-weight: 700; border-top: 2px solid var(--bad); }
        figure { margin: 12px 0; } figcaption { color: var(--soft); font-size: 13px; }
        .pictures { display: flex; flex-wrap: wrap; gap: 16px; } .pictures img { max-width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--line); }
        .chart { overflow-x: auto; } svg { width: 100%; min-width: 640px; height: auto; display: block; } .grid { stroke: var(--line); } .axis { fill: var(--soft); font-size: 12px; }
        polyline { fill: none; } polyline.error { stroke: var(--mark); } polyline.gate { stroke: var(--gate); stroke-width: 2; stroke-dasharray: 6 4; }
        circle.ok { fill: var(--mark); } circle.none { fill: none; stroke: var(--soft); } path.bad { stroke: var(--bad); stroke-width: 3; }
        .key { display: inline-block; width: 18px; height: 0; border-top: 2px solid var(--mark); vertical-align: middle; margin: 0 6px; } .key.gate { border-top: 2px dashed var(--gate); margin-left: 16px; }
        pre { background: var(--band); border: 1px solid var(--line); border-radius: 6px; padding: 10px; white-space: pre-wrap; overflow-wrap: anywhere; }
        rect.bar, .area { fill: var(--fill); } rect.marked { fill: var(--mark); } path.spread { stroke: var(--text); fill: none; } path.outline { fill: none; stroke: var(--mark); }
        .figure { fill: var(--text); font-size: 12px; font-variant-numeric: tabular-nums; } .bars { max-width: 860px; } .bars svg { min-width: 560px; } .key.area { height: 10px; border: 0; background: var(--fill); margin-left: 16px; }
        .histograms { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 8px 20px; } .histogram { margin: 0; } .histogram svg { min-width: 0; } .histogram figcaption { overflow-wrap: anywhere; }
        summary { color: var(--soft); cursor: pointer; }
        @media screen and (max-width: 600px) { .stacked thead { display: none; } .stacked table, .stacked tbody, .stacked tr, .stacked td { display: block; } .stacked tr { padding: 6px 8px; border-bottom: 1px solid var(--line); }
          .stacked td { border: 0; padding: 0; white-space: normal; overflow-wrap: anywhere; color: var(--soft); } .stacked td:nth-child(-n+2) { display: inline-block; margin-right: 8px; } .stacked td:nth-child(3) { color: var(--text); font-weight: 600; } .stacked tr.bad td { color: var(--bad); }
          .stacked td:nth-child(5)::before { content: "Gate: "; } .stacked td:nth-child(6)::before { content: "Margin: "; } .stacked td:nth-child(7)::before { content: "Why: "; } }
        """
}
