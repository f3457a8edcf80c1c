import Inference
import PackedFiles
import Tensors

/// How many rows of a tensor are in work at once, so that all buffers together stay below a bound.
struct WorkingSet: Sendable {
    /// Rows of one chunk.
    let rows: Int
    /// Bytes of buffers while a chunk is in work.
    let byteCount: Int

    /// Elements beyond which a larger chunk gains nothing: 16 MiB as float32.
    static let mostElements = 4 << 20
    /// What the writer of the packed file holds for frames at work and their compression.
    static let writerByteCount = 64 << 20

    init(_ tensor: PlannedTensor, bound: Int) throws(ConversionError) {
        let columns = max(1, tensor.row.shape.columns)
        let total = tensor.row.shape.rows
        let rowByteCount = Self.elementByteCount(tensor) * columns
        // Planes of scales and vectors of row scales are kept whole while the values stream by.
        let fixed = Self.writerByteCount + 2 * 4 * total
        let affordable = (bound - fixed) / rowByteCount
        guard affordable >= 1 else { throw .memoryBound(needed: fixed + rowByteCount, bound: bound, tensor: tensor.name) }
        rows = max(1, min(total, affordable, max(1, Self.mostElements / columns)))
        byteCount = fixed + rows * rowByteCount
    }

    /// Bytes in use per element of a chunk: as stored, widened, laid out anew, encoded, and decoded again for the statistics.
    private static func elementByteCount(_ tensor: PlannedTensor) -> Int {
        let stored = tensor.sources.map(\.dtype.byteCount).max() ?? 0
        return 2 * stored + 4 + 4 + 4 + 4
    }

    /// The most that any tensor of a plan needs.
    static func needed(_ tensors: [PlannedTensor], bound: Int) throws(ConversionError) -> Int {
        var most = 0
        for tensor in tensors { most = max(most, try WorkingSet(tensor, bound: bound).byteCount) }
        return most
    }
}
