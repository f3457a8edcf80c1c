import PackedFiles
import Tensors

/// Some rows of a tensor, made again and compared with those that a packed file holds.
struct RowComparison: Sendable {
    let chunk: TensorRows.Chunk
    let rows: Int
    /// By plane of the scheme: how many elements differ, and the first of them, counted from the first row here.
    let differences: [(plane: String, first: Int, columns: Int, count: Int)]
    /// How far the file's values are from the source's.
    let distances: [RowDistance]
    let bound: BoundCheck

    /// - Parameters:
    ///   - piece: rows of one source.
    ///   - place: where they are in the packed tensor.
    init(
        _ source: TensorRows, _ piece: (index: Int, rows: Range<Int>), of entry: TensorEntry, at place: Range<Int>, in file: PackedFile
    ) throws(ConversionError) {
        let scheme = entry.scheme
        chunk = try source.read(piece.rows, ofSource: piece.index)
        rows = place.count
        let stored = try wrapping(ConversionError.packedFile, try file.planes(of: entry, rows: place))
        let shape = source.packedShape(place.count)
        // What all rows have in common was chosen when the file was made: rows are encoded again with the same choice.
        let whole = scheme.wholePlanes(of: stored, shape: shape)
        let made = try RowEncoder(rows: source, allowsNonfinite: true, whole: whole).encode(chunk).planes
        differences = zip(scheme.planes(for: shape), zip(made, stored)).compactMap { plane, stored in
            let (made, found) = stored
            return made.difference(from: found).map { (plane.name, $0.first, made.shape.columns, $0.count) }
        }
        // An exact copy of the source's own values is at no distance, and within every bound.
        if differences.isEmpty, source.tensor.passesThrough(chunk.index) {
            distances = []
            bound = .exact
            return
        }
        let values = try source.values(chunk, for: .f32)
        (distances, bound) = try wrapping(ConversionError.machine) { () throws(MachineError) in
            (try scheme.distances(stored, source: values), try scheme.checkBound(stored, source: values))
        }
    }
}

/// The comparison of a whole tensor, from those of its rows in order.
struct TensorComparison {
    private let scheme: Scheme
    private let columns: Int
    private var row = 0
    private var distance = QuantizationErrorSum()
    private(set) var difference: Rederivation.Difference?
    private(set) var bound: BoundCheck?

    init(_ scheme: Scheme, columns: Int) {
        self.scheme = scheme
        self.columns = columns
    }

    var error: QuantizationError { distance.result }

    /// Adds the next rows.
    mutating func add(_ rows: RowComparison) {
        for found in rows.differences {
            difference = difference ?? Rederivation.Difference(plane: found.plane, element: row * found.columns + found.first, count: 0)
            difference?.count += found.count
        }
        distance.add(rows.distances)
        bound = bound?.merged(with: rows.bound, offset: row * columns) ?? rows.bound
        row += rows.rows
    }
}
