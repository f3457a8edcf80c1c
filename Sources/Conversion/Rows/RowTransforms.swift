import Inference
import Tensors

/// Where some rows stand among others: one behind the other, or as a permutation says.
enum RowPlaces: Sendable {
    case range(Range<Int>)
    case list([Int])

    subscript(_ row: Int) -> Int {
        switch self {
        case .range(let range): range.lowerBound + row
        case .list(let list): list[row]
        }
    }

    /// The rows as ranges of neighbours.
    var runs: [Range<Int>] {
        switch self {
        case .range(let range): [range]
        case .list(let list):
            list.reduce(into: []) { runs, place in
                if let last = runs.last, last.upperBound == place { runs[runs.count - 1] = last.lowerBound..<place + 1 } else { runs.append(place..<place + 1) }
            }
        }
    }
}

extension Recipe.Source {
    /// Where some of the rows that come out stand in the stored tensor, and among the rows that each transform makes.
    func places(_ rows: Range<Int>) -> (stored: RowPlaces, transformed: [RowPlaces]) {
        var places = RowPlaces.range(rows)
        var transformed: [RowPlaces] = []
        for transform in transforms.reversed() {
            transformed.append(places)
            if case .permute(let order) = transform { places = .list((0..<rows.count).map { order[places[$0]] }) }
        }
        return (places, transformed.reversed())
    }
}

extension Tensor {
    /// Multiplies each row by the factor at its place.
    mutating func scaleRows(by factors: Tensor, _ places: RowPlaces) {
        let (columns, factors) = (columns, factors.span)
        var elements = mutableSpan
        for row in 0..<elements.count / max(1, columns) {
            let factor = factors[places[row]]
            for index in row * columns..<(row + 1) * columns { elements[index] *= factor }
        }
    }

    /// Adds factor * up @ down, of `up` the rows at the places: sums in double, one rounding.
    mutating func add(_ factor: Double, _ up: Tensor, _ down: Tensor, _ places: RowPlaces) throws(AllocationError) {
        let (columns, rank, weights) = (columns, up.columns, up.span)
        let scratch = try Buffer(byteCount: columns * MemoryLayout<Double>.stride, zeroed: false)
        defer { withExtendedLifetime((down, scratch)) {} }
        let sums = unsafe scratch.mutableBytes.bindMemory(to: Double.self)
        var elements = mutableSpan
        for row in 0..<elements.count / max(1, columns) {
            unsafe sums.update(repeating: 0)
            // One row of `down` after the other, each from end to end.
            for index in 0..<rank {
                let (weight, line) = unsafe (Double(weights[places[row] * rank + index]), down.pointer + index * columns)
                for column in 0..<columns { unsafe sums[column] += weight * Double(line[column]) }
            }
            for column in 0..<columns {
                let sum = unsafe factor * sums[column]
                elements[row * columns + column] = Float(Double(elements[row * columns + column]) + sum)
            }
        }
    }
}
