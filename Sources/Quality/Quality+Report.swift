package import Parity
import StrictJSON
import Tensors

extension Quality {
    /// What a report says of it.
    /// - Parameter isMeasured: false for a record of what was measured when the file was made.
    package func verdict(isMeasured: Bool) -> ReportVerdict {
        let pictures = pictures.isEmpty ? "" : ", \(pictures.count) pictures at \(Self.list(steps.map { "\($0)" })) step\(steps == [1] ? "" : "s")"
        return ReportVerdict(
            word: word.rawValue,
            basis:
                "\(isMeasured ? "measured" : "measured when the file was made:") on \(prompts) prompts, \(velocities.count) velocities on identical inputs\(pictures)",
            isGood: word == .good || word == .asGoodAs16Bit, table: table,
            heldBack: layers.isEmpty ? textHoldsBack : "held back by " + Self.list(layers.map(\.text)),
            json: json(isMeasured: isMeasured))
    }

    /// Where pictures are off and neither transformer nor decoder is, it is what they are told.
    private var textHoldsBack: String? {
        guard let picture, !features.isEmpty, !picture.reaches(Word.goodLimits), velocity.reaches(Word.goodLimits) else { return nil }
        return "held back by the text encoder, whose features are \(Decimal.fixed(Spread(features).median, digits: 1)) dB from the checkpoint's"
    }

    /// Of a file that computes exactly what its checkpoint does.
    package static let exact = ReportVerdict(
        word: Word.asGoodAs16Bit.rawValue, basis: "every weight is the checkpoint's own, nothing is rounded", isGood: true,
        json: [
            "word": .string(Word.asGoodAs16Bit.rawValue), "exact": true, "measured": false, "prompts": 0, "steps": [], "velocity_db": .null, "psnr_db": .null,
            "ssim": .null, "features_db": .null, "layers": [],
        ])

    private static func list(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " and " + last
    }

    private var table: ReportTable {
        func decibels(_ value: Double) -> String { value.isFinite ? "\(Decimal.fixed(value, digits: 1)) dB" : "exact" }
        func row(_ name: String, _ figure: Figure, _ text: (Double) -> String = decibels) -> [String] {
            [name, text(figure.file.median), text(figure.file.worst), text(figure.sixteen.median), text(figure.sixteen.worst)]
        }
        var rows = [row("velocity", velocity)]
        if let picture { rows.append(row("picture", picture)) }
        if let ssim { rows.append(row("picture, SSIM", ssim) { Decimal.fixed($0, digits: 4) }) }
        if !features.isEmpty {
            let spread = Spread(features)
            rows.append(["prompt features", decibels(spread.median), decibels(spread.worst), "", ""])
        }
        return ReportTable(title: "Quality", columns: ["", "Median", "Worst", "16 bits", "Worst"], rows: rows)
    }

    private func json(isMeasured: Bool) -> JSONValue {
        func spread(_ spread: Spread) -> [(String, JSONValue)] { [("median", Self.decibels(spread.median)), ("worst", Self.decibels(spread.worst))] }
        func figure(_ figure: Figure?) -> JSONValue {
            figure.map { .object(JSONObject(spread($0.file) + [("sixteen", .object(JSONObject(spread($0.sixteen))))])) } ?? .null
        }
        return [
            "word": .string(word.rawValue), "exact": false, "measured": .bool(isMeasured), "prompts": JSONValue(prompts),
            "steps": .array(steps.map { JSONValue($0) }), "velocity_db": figure(velocity), "psnr_db": figure(picture), "ssim": figure(ssim),
            "features_db": features.isEmpty ? .null : .object(JSONObject(spread(Spread(features)))),
            "layers": .array(
                layers.map { ["name": .string($0.name), "gain_db": .number($0.gain), "judged_by": .string($0.judgedBy.rawValue)] }),
        ]
    }
}

extension Quality.Layer {
    fileprivate var text: String { "\(name) (\(judgedBy.rawValue) +\(Decimal.fixed(gain, digits: 1)) dB in 16 bits)" }
}
