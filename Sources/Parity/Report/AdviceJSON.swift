import StrictJSON

extension Advice {
    var json: JSONValue {
        [
            "title": .string(title), "method": .string(method), "judged_by": .string(judgedBy), "sqnr_db": .finite(sqnr),
            "rules": .array(rules.map { .string($0) }), "layers": .array(layers.map(\.json)),
            "together": together?.json ?? .null,
            "margin": margin?.json ?? .null,
        ]
    }
}

extension Advice.Layer {
    var json: JSONValue {
        [
            "name": .string(name), "gain_db": .finite(gain), "standard_error_db": .finite(standardError), "draws": JSONValue(draws),
            "rule": keep.map { .string($0.rule) } ?? .null, "added_bytes": keep.map { JSONValue($0.addedBytes) } ?? .null,
        ]
    }
}

extension Advice.Together {
    var json: JSONValue {
        ["gain_db": .finite(gain), "standard_error_db": .finite(standardError), "added_bytes": JSONValue(addedBytes)]
    }
}

extension Advice.Margin {
    var json: JSONValue {
        ["lead_db": .finite(lead), "standard_error_db": .finite(standardError), "distinct": .bool(isDistinct)]
    }
}

extension WeightHistogram {
    var json: JSONValue {
        [
            "name": .string(name), "scheme": .string(scheme), "choice": .string(choice), "limit": .finite(limit), "sqnr_db": .finite(sqnr),
            "rows": ["counted": JSONValue(rows.counted), "all": JSONValue(rows.all)],
            "reference": .array(reference.map { JSONValue($0) }), "other": .array(other.map { JSONValue($0) }),
        ]
    }
}

extension ReportPicture {
    var json: JSONValue { ["caption": .string(caption), "width": JSONValue(width), "height": JSONValue(height)] }
}
