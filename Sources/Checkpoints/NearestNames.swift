/// Finds the names that somebody may have meant: the smallest edit distances.
package struct NearestNames {
    private let candidates: [[UInt8]]

    package init(_ candidates: [String]) { self.candidates = candidates.map { Array($0.utf8) } }

    /// The up to `count` candidates closest to `name`, at most a third of it away, the closest first.
    package func nearest(to name: String, count: Int = 2) -> [String] {
        let name = Array(name.utf8)
        let limit = max(2, name.count / 3)
        return candidates.enumerated()
            .compactMap { index, candidate in Self.distance(name, candidate, limit: limit).map { (index, distance: $0) } }
            .sorted { ($0.distance, $0.0) < ($1.distance, $1.0) }
            .prefix(count)
            .map { String(decoding: candidates[$0.0], as: UTF8.self) }
    }

    /// Insertions, deletions and replacements of bytes that turn `left` into `right`; nil beyond `limit`.
    static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int? {
        guard abs(left.count - right.count) <= limit else { return nil }
        // Tensor names share long beginnings and ends, which cost nothing.
        let prefix = zip(left, right).prefix { $0 == $1 }.count
        let suffix = zip(left[prefix...].reversed(), right[prefix...].reversed()).prefix { $0 == $1 }.count
        let left = left[prefix..<(left.count - suffix)]
        let right = right[prefix..<(right.count - suffix)]
        var previous = Array(0...right.count)
        var current = previous
        for (row, a) in left.enumerated() {
            current[0] = row + 1
            var best = current[0]
            for (column, b) in right.enumerated() {
                current[column + 1] = min(previous[column] + (a == b ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                best = min(best, current[column + 1])
            }
            guard best <= limit else { return nil }
            swap(&previous, &current)
        }
        return previous[right.count] <= limit ? previous[right.count] : nil
    }
}
