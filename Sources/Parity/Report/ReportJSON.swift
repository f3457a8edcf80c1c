package import StrictJSON
internal import Tensors

extension ParityReport {
    /// The report as one JSON object: Formats/report.schema.json. Of pictures it has what the page says of them.
    package var json: JSONValue {
        var object = JSONObject([
            ("report", 1),
            ("kind", .string(kind.rawValue)),
            ("title", .string(title)),
            ("passed", .bool(passed)),
            ("headline", .string(headline)),
            ("environment", .object(.init(unique: environment.map { ($0.name, .string($0.value)) }))),
            ("command", .string(command)),
            ("findings", .array(findings.map(\.json))),
            ("rungs", .array(rungs.map(\.json))),
            ("series", .array(series.map(\.json))),
            ("tables", .array(tables.map(\.json))),
            ("histograms", .array(histograms.map(\.json))),
            ("pictures", .array(pictures.map(\.json))),
            ("advice", .array(advice.map(\.json))),
        ])
        if kind == .verification { object["quality"] = verdict?.json ?? .null }
        if kind == .comparison {
            object["only_in_reference"] = .array(onlyInReference.map { .string($0) })
            object["only_in_other"] = .array(onlyInOther.map { .string($0) })
        }
        return .object(object)
    }
}

extension JSONObject {
    /// The members, of which the first of equal keys counts.
    fileprivate init(unique members: [(String, JSONValue)]) {
        self.init()
        for (key, value) in members { _ = append(key, value) }
    }
}

extension JSONValue {
    /// A number, or null where JSON has none: infinite and undefined values.
    static func finite(_ value: Double?) -> JSONValue {
        guard let value, value.isFinite else { return .null }
        return .number(value)
    }

    fileprivate static func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
}

extension Finding {
    var json: JSONValue {
        [
            "subject": .string(subject), "what": .string(what), "expected": .string(expected), "found": .string(found), "hint": .text(hint),
            "cause": cause?.json ?? .null,
        ]
    }
}

extension Cause {
    var json: JSONValue { ["kind": .string(kind.rawValue), "text": .string(text), "residual": .finite(residual)] }
}

extension Rung {
    package var json: JSONValue {
        [
            "id": .string(id), "claim": .string(claim), "measure": .string(measure), "gate": .string(gate), "margin": .string(margin),
            "passed": .bool(passed), "reason": .string(reason),
        ]
    }
}

extension ReportTable {
    var json: JSONValue {
        [
            "title": .string(title), "topic": .string(topic.rawValue), "columns": .array(columns.map { .string($0) }),
            "rows": .array(rows.map { .array($0.map { .string($0) }) }),
        ]
    }
}

extension ProbeSeries {
    var json: JSONValue {
        [
            "title": .string(title), "note": .string(note), "first_divergent": .text(firstDivergent), "forced": .bool(isForced),
            "probes": .array(results.map(\.json)),
        ]
    }
}

extension ProbeResult {
    var json: JSONValue {
        [
            "name": .string(name), "shape": JSONValue(shape.extents), "types": .string(types),
            "rows": rows.map { ["counted": JSONValue($0.counted), "all": JSONValue($0.all)] } ?? .null,
            "metrics": metrics.json, "gate": gate.json, "margin": .finite(margin), "passed": .bool(passed),
        ]
    }
}

extension Gate {
    var json: JSONValue {
        let (kind, limit): (String, Double?) =
            switch criterion {
            case .exact: ("exact", nil)
            case .relativeL2(let limit): ("relative_l2_at_most", limit)
            case .maxAbs(let limit): ("max_abs_at_most", limit)
            case .sqnr(let limit): ("sqnr_at_least", limit)
            }
        return ["criterion": .string(kind), "limit": .finite(limit), "reason": .string(reason)]
    }
}

extension Metrics {
    var json: JSONValue {
        [
            "count": JSONValue(count), "relative_l2": .finite(relativeL2), "max_abs": .finite(maxAbs), "sqnr_db": .finite(sqnr),
            "cosine": .finite(cosine), "max_ulp": .integer(Int64(clamping: maxULP)), "exact": .bool(isExact),
            "nan": ["reference": JSONValue(referenceNaN), "other": JSONValue(otherNaN)],
            "infinite": ["reference": JSONValue(referenceInfinite), "other": JSONValue(otherInfinite)],
            "mismatches": JSONValue(mismatches),
        ]
    }
}
