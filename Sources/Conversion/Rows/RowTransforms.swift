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
}

/// An adapter's addition with its operands read.
struct LoadedAddition {
    let factor: Double
    let up: Tensor
    let down: Tensor?
    let magnitude: Tensor?
}

extension Tensor {
    /// What `RowAddition` says of several, of whose operands the rows at the places count: sums in double, one rounding.
    mutating func add(_ additions: [LoadedAddition], _ places: RowPlaces) throws(MachineError) {
        let columns = columns
        let scratch = try Buffer(byteCount: 2 * columns * MemoryLayout<Double>.stride, zeroed: false)
        defer { withExtendedLifetime((additions, scratch)) {} }
        let values = unsafe scratch.mutableBytes.bindMemory(to: Double.self)
        let (sums, total) = unsafe (UnsafeMutableBufferPointer(rebasing: values[..<columns]), UnsafeMutableBufferPointer(rebasing: values[columns...]))
        var elements = mutableSpan
        for row in 0..<elements.count / max(1, columns) {
            let (first, place) = (row * columns, places[row])
            for column in 0..<columns { unsafe total[column] = Double(elements[first + column]) }
            for addition in additions {
                unsafe addition.sums(ofRow: place, into: sums)
                for column in 0..<columns { unsafe total[column] += sums[column] }
                guard let magnitude = addition.magnitude else { continue }
                var square = 0.0
                for column in 0..<columns {
                    let value = unsafe Double(elements[first + column]) + sums[column]
                    square += value * value
                }
                let scale = Double(magnitude.span[place]) / square.squareRoot()
                for column in 0..<columns { unsafe total[column] *= scale }
            }
            for column in 0..<columns { elements[first + column] = unsafe Float(total[column]) }
        }
    }
}

extension LoadedAddition {
    /// One row of factor * up @ down.
    @unsafe fileprivate func sums(ofRow row: Int, into sums: UnsafeMutableBufferPointer<Double>) {
        let weights = up.span
        guard let down else {
            for column in sums.indices { unsafe sums[column] = factor * Double(weights[row * sums.count + column]) }
            return
        }
        unsafe sums.update(repeating: 0)
        // One row of `down` after the other, each from end to end.
        for index in 0..<up.columns {
            let (weight, line) = unsafe (Double(weights[row * up.columns + index]), down.pointer + index * sums.count)
            for column in sums.indices { unsafe sums[column] += weight * Double(line[column]) }
        }
        for column in sums.indices { unsafe sums[column] *= factor }
    }
}
