import CKernels
package import Tensors

/// One step of a chain over rows, on any executor: makes rows of an image when enough rows of the one before are there.
package struct RowStep: Sendable {
    /// Rows of the result for the rows of the input.
    package enum Rate: Sendable { case same, double, half }

    let rate: Rate
    /// Rows of the input that a row needs below its own.
    let reach: Int
    /// Rows of the input, all in all.
    let inputHeight: Int
    /// The most rows made at once; even where the rate is double.
    let batch: Int
    /// Rows are made in so many at a time, but for the last ones.
    let unit: Int
    /// Makes the given rows.
    let run: @Sendable (Range<Int>) throws(MachineError) -> Void

    package init(
        rate: Rate, reach: Int, inputHeight: Int, batch: Int, unit: Int = 1, run: @escaping @Sendable (Range<Int>) throws(MachineError) -> Void
    ) {
        (self.rate, self.reach, self.inputHeight, self.batch, self.unit, self.run) = (rate, reach, inputHeight, batch, unit, run)
    }

    /// How many rows can be made of the first `rows` rows of the input.
    func makeable(_ rows: Int) -> Int {
        let isComplete = rows == inputHeight
        return switch rate {
        case .same: isComplete ? rows : max(0, rows - reach) / unit * unit
        case .double: 2 * (isComplete ? rows : max(0, rows - reach))
        case .half: isComplete ? (rows + 1) / 2 : rows / 2
        }
    }

    /// Has steps make all their rows, each as soon as the one before lets it.
    package static func run(_ steps: [RowStep]) throws(MachineError) {
        guard let first = steps.first else { return }
        var made = [Int](repeating: 0, count: steps.count)
        try advance(steps[...], from: first.inputHeight, &made)
    }

    /// Lets the first of some steps, and all behind it, go as far as the first `rows` rows of its input allow.
    private static func advance(_ steps: ArraySlice<RowStep>, from rows: Int, _ made: inout [Int]) throws(MachineError) {
        guard let step = steps.first else { return }
        let (index, goal) = (steps.startIndex, step.makeable(rows))
        while made[index] < goal {
            let next = min(goal, made[index] + step.batch)
            try step.run(made[index]..<next)
            made[index] = next
            try advance(steps.dropFirst(), from: next, &made)
        }
    }
}

/// Rows that a thread can be busy with: pieces of a row, in which a pixel's channels stay together.
enum RowPieces {
    /// Pixels of a piece: what a convolution kernel works on at a time, so that its epilogue finds it in the cache.
    private static let width = 96
    /// Pixels of all rows made at once: enough for several threads, little beside an image.
    private static let batch = 4096

    /// Rows of an image of the given width to be made at once; a multiple of 4.
    static func rows(width: Int) -> Int { min(64, max(4, batch / width / 4 * 4)) }

    /// Calls `body` with every piece of the rows, on all cores.
    static func forEach(_ rows: Range<Int>, width: Int, _ body: @Sendable (_ row: Int, _ columns: Range<Int>) -> Void) {
        let pieces = (width + Self.width - 1) / Self.width
        Parallel.forEach(rows.count * pieces) { range in
            for index in range {
                let piece = index % pieces
                body(rows.lowerBound + index / pieces, piece * width / pieces..<(piece + 1) * width / pieces)
            }
        }
    }

    /// The same with pieces of two rows that begin in even rows and columns; `worker` tells the threads apart.
    static func forEachPair(_ rows: Range<Int>, width: Int, _ body: @Sendable (_ worker: Int, _ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let (tiles, pieces) = ((width + 1) / 2, (width + Self.width - 1) / Self.width)
        Parallel.forEachWorker((rows.count + 1) / 2 * pieces) { worker, range in
            for index in range {
                let (row, piece) = (rows.lowerBound + 2 * (index / pieces), index % pieces)
                let columns = 2 * (piece * tiles / pieces)..<min(width, 2 * ((piece + 1) * tiles / pieces))
                body(worker, row..<min(row + 2, rows.upperBound), columns)
            }
        }
    }
}
