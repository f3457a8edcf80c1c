import ArgumentParser
import Parity
import Quality
import Tensors

extension ReportVerdict {
    /// The word, and below it the figures that it rests on.
    var lines: [String] {
        var lines = ["quality: \(word); \(basis)"]
        if let table {
            let rows = [table.columns.map { $0.lowercased() }] + table.rows
            lines += Table.text(rows.map { ["  \($0[0])"] + $0.dropFirst() }, right: [1, 2, 3, 4]).split(separator: "\n").map { String($0) }
        }
        if let heldBack { lines.append("  \(heldBack)") }
        return lines
    }

    /// The word and the first of its figures.
    var line: String { table.map { "\(word); \($0.rows[0][0]) \($0.rows[0][1]), worst \($0.rows[0][2])" } ?? word }
}

/// `--min-sqnr`, which convert and verify have.
enum QualityTarget {
    static func validate(_ decibels: Double?) throws {
        if let decibels, !(0...200).contains(decibels) { throw ValidationError("--min-sqnr: expected 0 to 200 dB, found \(decibels)") }
    }
}

extension Quality {
    /// What to say where the median of the velocities misses a target; nil where it does not.
    func shortfall(_ target: Double) -> String? {
        guard velocity.file.median < target else { return nil }
        let layers = layers.isEmpty ? "" : ", held back by \(layers.map(\.name).joined(separator: ", "))"
        return "expected velocities of \(Decimal.fixed(target, digits: 1)) dB or more (--min-sqnr), found "
            + "\(Decimal.fixed(velocity.file.median, digits: 1)) dB, worst \(Decimal.fixed(velocity.file.worst, digits: 1)): \(word.rawValue)\(layers)"
    }
}
