/// How the values of one tensor lie in the checkpoint and in the file: counts over equal bins from `-limit` to `limit`.
package struct WeightHistogram: Sendable {
    let name: String
    let scheme: String
    /// Why this tensor is shown.
    let choice: String
    /// Rows of the tensor that are counted, evenly spaced, and all of its rows.
    let rows: (counted: Int, all: Int)
    /// Largest magnitude of the counted source values.
    let limit: Double
    /// The error of the counted values; nil where nothing differs.
    let sqnr: Double?
    let reference: [Int]
    let other: [Int]

    static let bins = 96

    /// Counts values, both row by row.
    package init(
        name: String, scheme: String, choice: String, rows: (counted: Int, all: Int), reference: borrowing Span<Float>, other: borrowing Span<Float>
    ) {
        precondition(reference.count == other.count, "\(reference.count) values against \(other.count)")
        var (limit, signal, noise) = (0.0, 0.0, 0.0)
        for index in reference.indices {
            let (source, stored) = (Double(reference[index]), Double(other[index]))
            guard source.isFinite, stored.isFinite else { continue }
            limit = max(limit, abs(source))
            signal += source * source
            noise += (stored - source) * (stored - source)
        }
        (self.name, self.scheme, self.choice, self.rows, self.limit) = (name, scheme, choice, rows, limit)
        sqnr = noise > 0 ? Decibels.of(power: signal / noise) : nil
        self.reference = Self.counts(reference, limit)
        self.other = Self.counts(other, limit)
    }

    /// Bins are half open but the last; what rounding moved out of the range counts in the outermost.
    private static func counts(_ values: borrowing Span<Float>, _ limit: Double) -> [Int] {
        var counts = [Int](repeating: 0, count: bins)
        for index in values.indices {
            let value = Double(values[index])
            guard value.isFinite else { continue }
            let place = limit == 0 ? 0 : ((value + limit) / (2 * limit) * Double(bins)).rounded(.down)
            counts[min(bins - 1, max(0, Int(place)))] += 1
        }
        return counts
    }
}
