import Checkpoints
import PackedFiles
import Tensors

/// Turns rows of one planned tensor into the planes of its scheme, on the thread that calls it, and finds on the way what the directory says
/// about them. Everything happens in one pass over rows that lie in the cache.
struct RowEncoder: Sendable {
    let rows: TensorRows
    let allowsNonfinite: Bool
    /// The planes that all rows of the tensor have in common.
    let whole: [EncodedTensor]

    /// Rows as the packed file will have them, with what they were made of.
    struct Encoded: Sendable {
        /// The source's bytes, for its digest.
        let chunk: TensorRows.Chunk
        let planes: [EncodedTensor]
        /// How far the stored values are from the source's; none for rows that passed through.
        let distances: [RowDistance]
    }

    /// Elements that are widened at once: as float32 and as they come back from the scheme they fit the second-level cache.
    static let groupElements = 16_384

    /// Reads and encodes some rows of one source.
    func encode(_ range: Range<Int>, ofSource index: Int) throws(ConversionError) -> Encoded { try encode(rows.read(range, ofSource: index)) }

    /// The planes of the chunk's rows.
    func encode(_ chunk: TensorRows.Chunk) throws(ConversionError) -> Encoded {
        let scheme = rows.tensor.storage.scheme
        let shape = rows.packedShape(chunk.rows.count)
        if rows.tensor.passesThrough(chunk.index) {
            try checkFinite(chunk)
            return Encoded(chunk: chunk, planes: [try rows.laidOut(chunk.stored)], distances: [])
        }
        let planes = try wrapping(ConversionError.packedFile, try scheme.allocate(shape, whole: whole))
        if rows.tensor.areEncodedAsStored(chunk.index), let distances = scheme.encodeStored(chunk.stored.reshaped(shape), into: planes, at: 0) {
            return Encoded(chunk: chunk, planes: planes, distances: distances)
        }
        try checkFinite(chunk)
        var distances: [RowDistance] = []
        distances.reserveCapacity(chunk.rows.count)
        let group = max(1, Self.groupElements / max(1, shape.columns))
        for start in stride(from: 0, to: chunk.rows.count, by: group) {
            let range = start..<min(chunk.rows.count, start + group)
            let part = try wrapping(ConversionError.machine, try chunk.part(range))
            let values = try rows.values(part, for: scheme)
            distances += try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
                try scheme.encode(values, into: planes, at: start, subject: rows.tensor.name)
            }
        }
        return Encoded(chunk: chunk, planes: planes, distances: distances)
    }

    private func checkFinite(_ chunk: TensorRows.Chunk) throws(ConversionError) {
        let scheme = rows.tensor.storage.scheme
        guard let (index, value) = ElementScan.nonfinite(chunk.stored), !allowsNonfinite || scheme.isQuantized else { return }
        throw allowsNonfinite
            ? .unquantizable(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index), scheme: scheme)
            : .nonfinite(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index))
    }
}
