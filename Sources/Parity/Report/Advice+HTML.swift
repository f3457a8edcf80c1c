extension Advice {
    /// Layers that are drawn; the table has all of them.
    private static let drawn = 12

    /// The body of the section.
    var html: String {
        var parts = ["<p>\(HTML.escaped(method))</p>"]
        parts.append("<p>\(HTML.escaped(summary))</p>")
        if !rules.isEmpty {
            parts.append("<p>For a file of <code>convert --rules</code>:</p><pre>\(HTML.escaped(ruleText))</pre>")
        }
        let bars = layers.prefix(Self.drawn).map { layer in
            BarChart.Bar(label: layer.name, value: layer.gain, spread: layer.standardError, figure: layer.gainText, isMarked: layer.keep != nil)
        }
        parts.append(BarChart(title: "\(title): what each gains", bars: bars).svg)
        let rows = layers.enumerated().map { place, layer in
            [
                "\(place + 1)", layer.name, Decimal.fixed(layer.gain, digits: 3), Decimal.fixed(layer.standardError, digits: 3), "\(layer.draws)",
                layer.keep.map { "\($0.addedBytes)" } ?? "",
            ]
        }
        let columns = ["Place", "Layer", "Gain dB", "Standard error", "Draws", "Added bytes"]
        parts.append(HTML.folded("All \(layers.count) layers", HTML.table(columns, rows.map { HTML.Row($0) }, numbersFrom: 2)))
        return parts.joined()
    }

    /// The advised lines, with what each costs and gains behind it as a comment.
    package var ruleText: String {
        let width = rules.map(\.count).max() ?? 0
        return layers.compactMap { layer in
            layer.keep.map { keep in
                let padding = String(repeating: " ", count: width - keep.rule.count)
                return "\(keep.rule)\(padding)  # +\(keep.addedBytes) bytes, \(layer.gainText)"
            }
        }.joined(separator: "\n")
    }

    /// What the figures say, in sentences.
    package var summary: String {
        var sentences = ["The \(judgedBy) of the file as it is: \(Decimal.fixed(sqnr, digits: 2)) dB."]
        if let together {
            let gain = "\(Decimal.fixed(together.gain, digits: 3)) +- \(Decimal.fixed(together.standardError, digits: 3)) dB"
            sentences.append("With all \(advised.count) advised layers kept it gains \(gain) for \(together.addedBytes) bytes.")
        }
        if let margin, layers.count > advised.count, let last = advised.last {
            let next = layers[advised.count]
            let lead = "\(Decimal.fixed(margin.lead, digits: 3)) +- \(Decimal.fixed(margin.standardError, digits: 3)) dB"
            sentences.append(
                margin.isDistinct
                    ? "The last of them, \(last.name), leads the next, \(next.name), by \(lead)."
                    : "The last of them, \(last.name), and the next, \(next.name), cannot be told apart: the lead is \(lead).")
        }
        return sentences.joined(separator: " ")
    }
}

extension Advice.Layer {
    /// "+0.123 +- 0.004 dB".
    var gainText: String {
        "\(gain < 0 ? "" : "+")\(Decimal.fixed(gain, digits: 3)) +- \(Decimal.fixed(standardError, digits: 3)) dB"
    }
}
