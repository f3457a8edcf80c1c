import Checkpoints
import Files
import Inference
import PackedFiles
import StrictJSON
import Tensors

/// The rows of one planned tensor, read from the checkpoint in packed order, some at a time.
///
/// A row depends on nothing but its own source row and what its transforms say: concatenation, layout and every scheme of the container work row
/// by row, so that the bytes of a packed tensor do not depend on how many rows are in work at once.
struct TensorRows: Sendable {
    let tensor: PlannedTensor
    private let component: CheckpointComponent
    /// What the transforms read, with the digest of each one's bytes.
    private let operands: [ExactString: (values: Tensor, digest: String)]

    /// Reads what the transforms need; the rows are read by `read`.
    init(_ tensor: PlannedTensor, _ checkpoint: Checkpoint) throws(ConversionError) {
        let component = try checkpoint.component(of: tensor)
        (self.tensor, self.component) = (tensor, component)
        var operands: [ExactString: (values: Tensor, digest: String)] = [:]
        let added = Set(tensor.rows.flatMap(\.additions).flatMap(\.operands).map { ExactString($0.name) })
        for source in tensor.operands {
            let stored = try wrapping(ConversionError.checkpoint, try component.read(source.name))
            // An adapter's: a NaN in it makes whole rows of a weight so.
            if added.contains(ExactString(source.name)), let (index, value) = ElementScan.nonfinite(stored) {
                throw .adapterNonfinite(tensor: source.name, value: value, index: index)
            }
            let values = try wrapping(ConversionError.machine, try stored.widened())
            operands[ExactString(source.name)] = (values, try component.digest(of: source))
        }
        self.operands = operands
    }

    /// Some rows that one source brings, as the checkpoint stores them.
    struct Chunk: Sendable {
        /// Index of the source in the tensor's list.
        let index: Int
        let source: StoredTensor
        let recipe: Recipe.Source
        /// The rows among those that come of this source.
        let rows: Range<Int>
        /// `[rows, ...]` in the source's own layout and type.
        let stored: EncodedTensor

        /// Index in the source of the chunk's element `index`.
        func sourceIndex(_ index: Int) -> Int {
            let (row, column) = index.quotientAndRemainder(dividingBy: source.shape.columns)
            return recipe.places(rows).stored[row] * source.shape.columns + column
        }

        /// Some of the chunk's rows, counted from its first.
        func part(_ part: Range<Int>) throws(MachineError) -> Chunk {
            guard part.count < rows.count else { return self }
            let rows = rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound
            return Chunk(index: index, source: source, recipe: recipe, rows: rows, stored: try stored.rows(part))
        }
    }

    /// The rows of all sources in order, at most `count` together.
    func pieces(rows count: Int) -> [(index: Int, rows: Range<Int>)] {
        tensor.rows.enumerated().flatMap { index, source in
            stride(from: 0, to: source.rows, by: count).map { (index, $0..<min(source.rows, $0 + count)) }
        }
    }

    /// Reads some of the rows that one source brings.
    func read(_ rows: Range<Int>, ofSource index: Int) throws(ConversionError) -> Chunk {
        let (source, recipe) = (tensor.sources[index], tensor.rows[index])
        let stored = try wrapping(ConversionError.checkpoint, try component.read(source, rows: recipe.places(rows).stored.runs))
        return Chunk(index: index, source: source, recipe: recipe, rows: rows, stored: stored)
    }

    /// Which source brings a row of the packed tensor, and which of its rows it is.
    func source(ofRow row: Int) -> (index: Int, row: Int) {
        var (index, row) = (0, row)
        while index < tensor.rows.count - 1, row >= tensor.rows[index].rows {
            row -= tensor.rows[index].rows
            index += 1
        }
        precondition(row >= 0 && row < tensor.rows[index].rows, "no row of \(tensor.name)")
        return (index, row)
    }

    /// The records of what was read, given the digests of the sources.
    func sourceRecords(_ digests: [String]) -> [SourceRecord] {
        tensor.records(digests: digests + tensor.operands.map { operands[ExactString($0.name)]?.digest ?? "" })
    }

    /// The digest of one whole source.
    func digest(ofSource index: Int) throws(ConversionError) -> String { try component.digest(of: tensor.sources[index]) }

    /// The chunk's rows as they are encoded: in float32, transformed, in the packed layout.
    /// - Throws: `.overflow` where a finite value goes beyond the range of float32 or of `scheme`.
    func values(_ chunk: Chunk, for scheme: Scheme) throws(ConversionError) -> Tensor {
        let recipe = chunk.recipe
        let values = try wrapping(ConversionError.machine) { () throws(MachineError) in
            var values = try chunk.stored.widened()
            guard !recipe.transforms.isEmpty else { return values }
            for (transform, places) in zip(recipe.transforms, recipe.places(chunk.rows).transformed) { try apply(transform, to: &values, places) }
            return values
        }
        // Widening is exact but for float64; what is neither transformed nor narrowed cannot overflow.
        if scheme.overflowLimit.isFinite || !recipe.keepsValues || chunk.source.dtype == .f64,
            let (index, value) = ElementScan.overflow(values, from: chunk.stored, limit: scheme.overflowLimit)
        {
            throw .overflow(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index), scheme: scheme)
        }
        guard tensor.row.layout != .same else { return values.reshaped(packedShape(chunk.rows.count)) }
        let moved = try laidOut(EncodedTensor(values))
        return Tensor(sharing: moved)
    }

    /// - Parameter places: where the rows stand among all that the transform is of.
    private func apply(_ transform: RowTransform, to values: inout Tensor, _ places: RowPlaces) throws(MachineError) {
        func operand(_ input: Recipe.Input) -> Tensor {
            guard let operand = operands[ExactString(input.name)] else { preconditionFailure("\(input.name) was not planned") }
            return operand.values
        }
        switch transform {
        case .permute: break  // read in this order
        case .scale(let factors): values.scaleRows(by: operand(factors), places)
        case .add(let additions):
            let loaded = additions.map {
                LoadedAddition(factor: $0.factor, up: operand($0.up), down: $0.down.map(operand), magnitude: $0.magnitude.map(operand))
            }
            try values.add(loaded, places)
        }
    }

    /// Rows of a source in the packed layout and shape.
    func laidOut(_ rows: EncodedTensor) throws(ConversionError) -> EncodedTensor {
        var moved = rows
        if tensor.row.layout == .channelsLast {
            moved = try wrapping(ConversionError.machine, try rows.channelsLast())
        }
        return moved.reshaped(packedShape(rows.shape.rows))
    }

    func packedShape(_ rows: Int) -> Shape { Shape([rows] + tensor.row.shape.extents.dropFirst()) }
}
