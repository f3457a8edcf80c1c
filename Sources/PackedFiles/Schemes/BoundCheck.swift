import Tensors

/// A comparison of decoded values with their source under a scheme's own bound.
package struct BoundCheck: Sendable, Equatable {
    /// Values further from their source than the scheme can put them, or of another class (a NaN for a number).
    package private(set) var violations = 0
    /// Index of the first of them.
    package private(set) var first: Int?
    /// The largest |decoded - source| / bound over the values that are not exact.
    package private(set) var largestShare = 0.0

    package var holds: Bool { violations == 0 }

    /// Values that are their source's, every one.
    package static let exact = BoundCheck()

    private init() {}

    /// - Parameter bound: the largest error of a source value at a row and column.
    init(_ decoded: Tensor, _ source: Tensor, bound: (_ row: Int, _ column: Int, _ value: Float) -> Double) {
        let columns = source.shape.columns
        let left = decoded.span
        let right = source.span
        for row in 0..<source.shape.rows {
            for index in row * columns..<(row + 1) * columns where left[index] != right[index] {
                if left[index].isNaN && right[index].isNaN { continue }
                let limit = bound(row, index - row * columns, right[index])
                let difference = (Double(left[index]) - Double(right[index])).magnitude
                if limit > 0 && difference.isFinite { largestShare = max(largestShare, difference / limit) }
                guard !(difference <= limit) else { continue }
                violations += 1
                first = first ?? index
            }
        }
    }

    /// The result for two runs of rows of one tensor, the other one `offset` elements behind the first.
    package func merged(with other: BoundCheck, offset: Int) -> BoundCheck {
        var merged = self
        merged.violations += other.violations
        merged.first = first ?? other.first.map { $0 + offset }
        merged.largestShare = max(largestShare, other.largestShare)
        return merged
    }
}
