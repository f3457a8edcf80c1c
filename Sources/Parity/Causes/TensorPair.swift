package import Tensors

/// Two tensors that should be equal and are not, with what a search for the cause has to know about them.
package struct TensorPair: Sendable {
    let expected: Tensor
    package let found: Tensor
    /// Rows of the first axis that belong together: q, k and v of a fused weight. One part where there is nothing to tell apart.
    let parts: [Part]
    /// Relative L2 that rounding alone can leave: a cause whose repetition comes as close explains the difference.
    let tolerance: Double
    /// The type in which `found` was stored.
    let stored: DType

    package struct Part: Sendable, Equatable {
        let name: String
        let rows: Range<Int>

        package init(_ name: String, _ rows: Range<Int>) { (self.name, self.rows) = (name, rows) }
    }

    /// Relative L2 of the pair as it is.
    package let distance: Double
    /// Places that stand for all: equally many in each part of the tensor, spread without a pattern.
    private let sample: [Int]

    /// - Precondition: equal element counts.
    package init(expected: Tensor, found: Tensor, parts: [Part] = [], tolerance: Double, stored: DType = .f32) {
        precondition(expected.count == found.count)
        self.expected = expected
        self.found = found
        self.parts = parts
        self.tolerance = tolerance
        self.stored = stored
        let count = expected.count
        // A step by the golden ratio visits places evenly and hits no row or column more often than another.
        var places: [Int] = []
        var position = 0.5
        for _ in 0..<min(count, 1024) {
            position += 0.618_033_988_749_894_9
            position -= position.rounded(.down)
            places.append(min(count - 1, Int(position * Double(count))))
        }
        sample = places
        distance = Self.distance(expected.span, found.span)
    }

    var shape: Shape { expected.shape }
    var rows: Int { expected.rows }
    var columns: Int { expected.columns }

    private static func distance(_ expected: Span<Float>, _ found: Span<Float>) -> Double {
        var (difference, square) = (0.0, 0.0)
        for index in expected.indices {
            let (left, right) = (Double(expected[index]), Double(found[index]))
            difference += (left - right) * (left - right)
            square += left * left
        }
        return difference == 0 ? 0 : square == 0 ? .infinity : (difference / square).squareRoot()
    }

    /// Whether a residual explains the difference: as small as rounding, and much smaller than before.
    func explains(_ residual: Double, room: Double? = nil) -> Bool {
        residual <= room ?? tolerance && (residual == 0 || residual <= distance / 4)
    }

    /// The tolerance where a mistake makes new numbers, which the stored type rounds once more.
    var roundedTolerance: Double { max(tolerance, Arithmetic(stored)?.unitRoundoff ?? 0) }

    /// Relative L2 between `found` and what a mistake makes of the expected values; nil where it does not explain the difference.
    ///
    /// A few places are looked at first, so that a mistake that was not made costs little.
    /// - Parameter room: what counts as rounding where it is not the pair's tolerance.
    package func residual(room: Double? = nil, _ mistake: (_ expected: Span<Float>, _ place: Int) -> Float) -> Double? {
        let (left, right) = (expected.span, found.span)
        func measure(_ places: some Sequence<Int>) -> Double {
            var (difference, square) = (0.0, 0.0)
            for place in places {
                let (made, value) = (Double(mistake(left, place)), Double(right[place]))
                difference += (made - value) * (made - value)
                square += value * value
            }
            return difference == 0 ? 0 : square == 0 ? .infinity : (difference / square).squareRoot()
        }
        // The sample has the noise of a sample, and is only to turn away what is far off.
        guard measure(sample) <= 8 * (room ?? tolerance) + 1e-9 else { return nil }
        let result = measure(0..<expected.count)
        return explains(result, room: room) ? result : nil
    }

    /// The rows of one part alone.
    func part(_ index: Int) throws(MachineError) -> TensorPair {
        let rows = parts[index].rows
        return TensorPair(expected: try expected.rows(rows), found: try found.rows(rows), tolerance: tolerance, stored: stored)
    }

    /// Whether each row is the same in both, within rounding.
    func differingRows() -> [Int] {
        let (left, right) = (expected.span, found.span)
        let columns = columns
        return (0..<rows).filter { row in
            var (difference, square) = (0.0, 0.0)
            for index in row * columns..<(row + 1) * columns {
                let gap = Double(left[index]) - Double(right[index])
                difference += gap * gap
                square += Double(left[index]) * Double(left[index])
            }
            return difference > tolerance * tolerance * square && difference > 0
        }
    }
}

extension Tensor {
    /// The matrix with rows and columns exchanged.
    package func transposed() throws(MachineError) -> Tensor {
        var result = try Tensor([columns, rows], zeroed: false)
        let (source, rows, columns) = (span, rows, columns)
        var target = result.mutableSpan
        for row in 0..<rows { for column in 0..<columns { target[column * rows + row] = source[row * columns + column] } }
        return result
    }
}
