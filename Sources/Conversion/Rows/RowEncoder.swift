import Files
import PackedFiles
import Tensors

/// Turns the rows of one planned tensor into the planes of its scheme, and collects on the way what the directory says about them.
struct RowEncoder {
    private let rows: TensorRows
    private let allowsNonfinite: Bool
    private var digests: [SHA256Stream]
    private var distance = QuantizationErrorSum()

    init(_ rows: TensorRows, allowsNonfinite: Bool) {
        self.rows = rows
        self.allowsNonfinite = allowsNonfinite
        digests = rows.tensor.sources.map { _ in SHA256Stream() }
    }

    /// The planes of the chunk's rows, to be appended to those of the rows before them.
    mutating func encode(_ chunk: TensorRows.Chunk) throws(ConversionError) -> [EncodedTensor] {
        unsafe digests[chunk.index].update(chunk.stored.bytes)
        let scheme = rows.tensor.storage.scheme
        if let (index, value) = ElementScan.nonfinite(chunk.stored), !allowsNonfinite || scheme.isQuantized {
            throw allowsNonfinite
                ? .unquantizable(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index), scheme: scheme)
                : .nonfinite(tensor: chunk.source.name, value: value, index: chunk.sourceIndex(index))
        }
        if rows.passesThrough(chunk.source) { return [try rows.laidOut(chunk.stored)] }
        let values = try rows.values(chunk, for: scheme)
        let planes = try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in try scheme.encode(values, subject: rows.tensor.name) }
        let decoded = try wrapping(ConversionError.memory) { () throws(AllocationError) in try scheme.decode(planes, shape: values.shape) }
        distance.add(decoded: decoded, source: values)
        return planes
    }

    /// The distance of what was encoded from its source, in float32 after folding; zero for rows that passed through.
    var error: QuantizationError { distance.result }

    /// The sources with the digests of their bytes: first those that are concatenated, in order, then the row scales.
    var sources: [SourceRecord] {
        let tensor = rows.tensor
        return zip(tensor.sources, digests).map { source, digest in
            SourceRecord(name: source.name, dtype: source.dtype, shape: source.shape, sha256: digest.digest(), rowScale: source.rowScale)
        }
            + zip(tensor.rowScales, rows.rowScaleDigests).map { source, digest in
                SourceRecord(name: source.name, dtype: source.dtype, shape: source.shape, sha256: digest)
            }
    }
}
