import Checkpoints
import Files
import Inference
import PackedFiles
import StrictJSON
import Tensors

/// The rows of one planned tensor, read from the checkpoint in packed order, some at a time.
///
/// A row depends on nothing but its own source row and its scale: concatenation, layout and every scheme of the container work row by row,
/// so that the bytes of a packed tensor do not depend on how many rows are in work at once.
struct TensorRows: Sendable {
    let tensor: PlannedTensor
    private let component: CheckpointComponent
    /// The row scales by name, with the digest of each one's bytes.
    private let scales: [ExactString: (values: [Float], digest: String)]

    /// Reads the row scales; the rows are read by `read`.
    init(_ tensor: PlannedTensor, _ checkpoint: Checkpoint) throws(ConversionError) {
        let component = try checkpoint.files(of: tensor.component)
        self.tensor = tensor
        self.component = component
        var scales: [ExactString: (values: [Float], digest: String)] = [:]
        for source in tensor.rowScales {
            let stored = try Self.read(source, rows: 0..<source.shape.rows, from: component)
            var digest = SHA256Stream()
            unsafe digest.update(stored.bytes)
            let values = try wrapping(ConversionError.memory) { () throws(AllocationError) in try stored.widened().elements }
            scales[ExactString(source.name)] = (values, digest.digest())
        }
        self.scales = scales
    }

    /// Some rows of one source, as the checkpoint stores them.
    struct Chunk: Sendable {
        /// Index of the source in the tensor's list.
        let index: Int
        let source: PlannedSource
        /// The rows of that source.
        let rows: Range<Int>
        /// `[rows, ...]` in the source's own layout and type.
        let stored: EncodedTensor

        /// Index in the source of the chunk's element `index`.
        func sourceIndex(_ index: Int) -> Int { rows.lowerBound * source.shape.columns + index }

        /// Some of the chunk's rows, counted from its first.
        func part(_ part: Range<Int>) throws(AllocationError) -> Chunk {
            let first = rows.lowerBound
            guard part.count < rows.count else { return self }
            return Chunk(index: index, source: source, rows: first + part.lowerBound..<first + part.upperBound, stored: try stored.rows(part))
        }
    }

    /// The rows of all sources in order, at most `count` together.
    func pieces(rows count: Int) -> [(index: Int, rows: Range<Int>)] {
        tensor.sources.enumerated().flatMap { index, source in
            stride(from: 0, to: source.shape.rows, by: count).map { (index, $0..<min(source.shape.rows, $0 + count)) }
        }
    }

    /// Reads some rows of one source.
    func read(_ rows: Range<Int>, ofSource index: Int) throws(ConversionError) -> Chunk {
        let source = tensor.sources[index]
        return Chunk(index: index, source: source, rows: rows, stored: try Self.read(source, rows: rows, from: component))
    }

    /// Reads one row of the packed tensor.
    func read(packedRow row: Int) throws(ConversionError) -> Chunk {
        var first = 0
        var index = 0
        while index < tensor.sources.count - 1, row >= first + tensor.sources[index].shape.rows {
            first += tensor.sources[index].shape.rows
            index += 1
        }
        precondition(row >= first && row - first < tensor.sources[index].shape.rows, "no row of \(tensor.name)")
        return try read(row - first..<row - first + 1, ofSource: index)
    }

    /// The sources with the digests of their bytes: first those that are concatenated, in order, then the row scales.
    func sourceRecords(_ digests: [String]) -> [SourceRecord] {
        zip(tensor.sources, digests).map { source, digest in
            SourceRecord(name: source.name, dtype: source.dtype, shape: source.shape, sha256: digest, rowScale: source.rowScale)
        }
            + tensor.rowScales.map { source in
                SourceRecord(name: source.name, dtype: source.dtype, shape: source.shape, sha256: scales[ExactString(source.name)]?.digest ?? "")
            }
    }

    /// Whether the stored bytes of `source` are the packed ones up to their order.
    func passesThrough(_ source: PlannedSource) -> Bool { source.rowScale == nil && source.dtype == tensor.storage.scheme.elementType }

    /// Whether the rows that are encoded are those of `source` as they are stored, but for their type.
    func areEncodedAsStored(_ source: PlannedSource) -> Bool { source.rowScale == nil && tensor.row.layout == .same }

    /// Whether the packed values are the bytes of the one source as they are.
    var isVerbatim: Bool { tensor.sources.count == 1 && tensor.row.layout == .same && passesThrough(tensor.sources[0]) }

    /// The chunk's rows as they are encoded: in float32, with their row scales, in the packed layout.
    /// - Throws: `.overflow` where a finite value goes beyond the range of float32 or of `scheme`.
    func values(_ chunk: Chunk, for scheme: Scheme) throws(ConversionError) -> Tensor {
        var values = try wrapping(ConversionError.memory) { () throws(AllocationError) in try chunk.stored.widened() }
        if let name = chunk.source.rowScale, let scale = scales[ExactString(name)]?.values {
            let columns = values.columns
            var span = values.mutableSpan
            for row in 0..<chunk.rows.count {
                let factor = scale[chunk.rows.lowerBound + row]
                for index in row * columns..<(row + 1) * columns { span[index] *= factor }
            }
        }
        // Widening is exact but for float64; what is neither scaled nor narrowed cannot overflow.
        if scheme.overflowLimit.isFinite || chunk.source.rowScale != nil || chunk.source.dtype == .f64,
            let (index, value) = ElementScan.overflow(values, from: chunk.stored, limit: scheme.overflowLimit)
        {
            throw .overflow(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index), scheme: scheme)
        }
        guard tensor.row.layout != .same else { return values.reshaped(packedShape(chunk.rows.count)) }
        let moved = try laidOut(EncodedTensor(values))
        return Tensor(sharing: moved)
    }

    /// Rows of a source in the packed layout and shape.
    func laidOut(_ rows: EncodedTensor) throws(ConversionError) -> EncodedTensor {
        var moved = rows
        if tensor.row.layout == .channelsLast {
            moved = try wrapping(ConversionError.memory) { () throws(AllocationError) in try rows.channelsLast() }
        }
        return moved.reshaped(packedShape(rows.shape.rows))
    }

    func packedShape(_ rows: Int) -> Shape { Shape([rows] + tensor.row.shape.extents.dropFirst()) }

    private static func read(
        _ source: PlannedSource, rows: Range<Int>, from component: CheckpointComponent
    ) throws(ConversionError) -> EncodedTensor {
        let rowByteCount = UInt64(source.shape.columns * source.dtype.byteCount)
        let range = UInt64(rows.lowerBound) * rowByteCount..<UInt64(rows.upperBound) * rowByteCount
        let shape = source.shape.rank == 0 ? source.shape : Shape([rows.count] + source.shape.extents.dropFirst())
        let stored = try wrapping(ConversionError.memory) { () throws(AllocationError) in try EncodedTensor(dtype: source.dtype, shape: shape) }
        try wrapping(ConversionError.checkpoint) { () throws(CheckpointError) in
            unsafe try component.read(source.name, range: range, into: stored.buffer.mutableBytes)
        }
        return stored
    }
}
