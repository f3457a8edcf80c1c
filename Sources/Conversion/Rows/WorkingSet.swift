import Checkpoints
import Inference
import PackedFiles
import Tensors

/// How a conversion divides its memory: how many rows of a tensor are one piece of work, how many pieces are under way, and how many frames.
struct WorkingSet: Sendable {
    /// Frames that the writer has at work.
    let frames: Int
    /// Bytes that may wait to be hashed.
    let unhashed: Int
    private let threads: Int
    private let bound: Int

    /// Elements of a piece beyond which a larger one gains nothing.
    static let mostElements = 1 << 20
    /// What a process takes before it holds any tensor: the program, headers, configuration files and the directory that grows.
    static let processByteCount = 48 << 20
    private static let fewestFrames = 4
    /// Half of a source waits at its end, the other half having been hashed beside its plane: that of the largest weights of the published models.
    private static let mostUnhashed = 32 << 20

    /// - Parameter bound: bytes that the whole process may take.
    init(bound: Int, threads: Int) {
        self.bound = bound
        self.threads = threads
        let rest = max(0, bound - Self.processByteCount - PackedFileWriter.streamByteCount)
        // At most a third is for frames, which are of one size, so that pieces keep theirs.
        frames = max(Self.fewestFrames, min(PackedFileWriter.usualFrames(threads: threads), rest / 3 / PackedFileWriter.frameByteCount))
        unhashed = min(Self.mostUnhashed, max(0, rest - frames * PackedFileWriter.frameByteCount) / 4)
    }

    /// Bytes that are in use whatever the tensor: the program, and the writer with its frames.
    var fixedByteCount: Int { Self.processByteCount + PackedFileWriter.streamByteCount + frames * PackedFileWriter.frameByteCount + unhashed }

    /// The share of one tensor.
    struct Share: Sendable, Equatable {
        /// Rows of one piece.
        let rows: Int
        /// Pieces that are read and encoded.
        let pieces: Int
        /// Bytes in use meanwhile.
        let byteCount: Int
    }

    func share(_ tensor: PlannedTensor) throws(ConversionError) -> Share {
        let columns = max(1, tensor.row.shape.columns)
        let total = tensor.row.shape.rows
        let planes = tensor.storage.scheme.planes(for: tensor.row.shape)
        // Planes after the first and vectors of row scales are kept whole while the values stream by.
        let fixed = fixedByteCount + planes.dropFirst().reduce(0) { $0 + $1.byteCount } + MemoryLayout<Float>.stride * total
        // Rows as stored, and encoded or laid out anew; a quarter more, since a block may have a rest too small to divide.
        let stored = columns * (tensor.sources.map(\.dtype.byteCount).max() ?? 0)
        let rowByteCount = 5 * (stored + max(stored, planes[0].rowByteCount)) / 4 + MemoryLayout<RowDistance>.stride
        // Each thread widens a group of rows: as read, as float32, in another layout, encoded and decoded again. Pieces under way may be of several
        // tensors, each with what its own transforms read; a row of their sums is in double.
        let operands = tensor.operands.reduce(0) { $0 + ($1.shape.rank > 1 ? $1.shape.elementCount : 0) }
        let transforms = operands > 0 ? MemoryLayout<Float>.stride * operands + MemoryLayout<Double>.stride * columns : 0
        let group = 20 * max(RowEncoder.groupElements, columns) + transforms + (tensor.sources.map(\.scratchByteCount).max() ?? 0)
        let free = bound - fixed
        let fewest = rowByteCount + group
        guard free >= fewest else { throw .memoryBound(needed: fixed + fewest, bound: bound, tensor: tensor.name) }
        let wanted = max(1, min(total, Self.mostElements / columns))
        // First the size of a piece, then their number: a piece that is too small costs more than a thread that waits.
        let rows = min(wanted, max(1, (free - group) / rowByteCount))
        let pieces = max(1, min(2 * threads + 1, free / (rows * rowByteCount + group)))
        return Share(rows: rows, pieces: pieces, byteCount: fixed + pieces * (rows * rowByteCount + group))
    }

    /// The most that any tensor of a plan needs.
    func needed(_ tensors: [PlannedTensor]) throws(ConversionError) -> Int {
        var most = fixedByteCount
        for tensor in tensors { most = max(most, try share(tensor).byteCount) }
        return most
    }
}
