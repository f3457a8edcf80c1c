import Inference
import PackedFiles
import StrictJSON
import Tensors

/// The stages of a conversion at work: pieces of tensors are read, scanned and encoded by a pool's threads in any order; this thread takes them
/// in the order of the plan, hands their bytes to be hashed and their planes to the writer, which compresses, hashes and writes.
///
/// Pieces of one tensor and of the next are under way together, so that no thread waits at the end of a tensor. What is in memory is bounded by
/// `WorkingSet`, whose pieces are counted from the moment they are read until they are taken; what then waits to be hashed is counted by itself.
struct ConversionPipeline {
    private let plan: ConversionPlan
    private let writer: PackedFileWriter
    private let pool: WorkPool
    private let workingSet: WorkingSet
    private let progress: (Converter.Progress) -> Void

    private var underWay: [Step] = []
    private var encoding = 0
    private var done: UInt64
    private let total: UInt64

    private enum Step {
        case begin(TensorWork)
        case rows(TensorWork, Pending<Result<RowEncoder.Encoded, ConversionError>>)
        case end(TensorWork)
    }

    init(_ plan: ConversionPlan, _ writer: PackedFileWriter, _ pool: WorkPool, _ workingSet: WorkingSet, progress: @escaping (Converter.Progress) -> Void) {
        self.plan = plan
        self.writer = writer
        self.pool = pool
        self.workingSet = workingSet
        self.progress = progress
        // The tables of a frozen schedule have been written before.
        done = plan.computedTensors.reduce(0) { $0 + $1.sourceByteCount }
        total = plan.sourceByteCount
    }

    /// Converts all tensors; the writer may still hold the last of them when this returns.
    mutating func run() throws(ConversionError) {
        for tensor in plan.streamedTensors {
            let share = try workingSet.share(tensor)
            try makeRoom(for: share.pieces)
            let work = TensorWork(try TensorRows(tensor, plan.checkpoint), writer.hashing)
            underWay.append(.begin(work))
            let whole = try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
                try tensor.storage.scheme.wholePlanes(for: tensor.row.shape, calibration: tensor.calibration)
            }
            let encoder = RowEncoder(rows: work.rows, allowsNonfinite: plan.options.allowsNonfinite, whole: whole)
            for piece in work.rows.pieces(rows: share.rows) {
                try makeRoom(for: share.pieces)
                let encoded = pool.submit { () -> Result<RowEncoder.Encoded, ConversionError> in
                    do throws(ConversionError) { return .success(try encoder.encode(piece.rows, ofSource: piece.index)) } catch { return .failure(error) }
                }
                underWay.append(.rows(work, encoded))
                encoding += 1
            }
            underWay.append(.end(work))
        }
        while !underWay.isEmpty { try takeNext() }
    }

    /// Takes what is under way until fewer than `pieces` are.
    private mutating func makeRoom(for pieces: Int) throws(ConversionError) {
        while encoding >= pieces { try takeNext() }
    }

    private mutating func takeNext() throws(ConversionError) {
        switch underWay.removeFirst() {
        case .begin(let work):
            progress(Converter.Progress(done: done, total: total, tensor: work.tensor.name))
            try wrapping(ConversionError.packedFile, try writer.beginTensor(work.tensor.description))
        case .rows(let work, let encoded):
            let rows: RowEncoder.Encoded = try encoded.wait().get()
            encoding -= 1
            work.hash(rows.chunk)
            work.distance.add(rows.distances)
            try wrapping(ConversionError.packedFile, try writer.appendRows(rows.planes))
            advance(UInt64(rows.chunk.stored.buffer.byteCount), work)
        case .end(let work):
            let sources = try work.sources()
            try wrapping(ConversionError.packedFile, try writer.endTensor(error: work.distance.result, sources: sources))
            // Operands have been read too, and rows that a recipe leaves out need not be.
            advance(work.tensor.sourceByteCount - work.taken, work)
        }
    }

    private mutating func advance(_ bytes: UInt64, _ work: TensorWork) {
        done += bytes
        work.taken += bytes
        progress(Converter.Progress(done: done, total: total, tensor: work.tensor.name))
    }
}

/// What a conversion gathers about one tensor while its rows stream by.
private final class TensorWork {
    let rows: TensorRows
    var distance = QuantizationErrorSum()
    /// Bytes of sources that were taken.
    var taken: UInt64 = 0
    /// Nil where the digest of the packed plane is the source's.
    private let digests: SourceDigests?
    var tensor: PlannedTensor { rows.tensor }

    init(_ rows: TensorRows, _ streams: HashingStreams) {
        self.rows = rows
        digests = rows.tensor.isVerbatim ? nil : SourceDigests(rows, streams)
    }

    /// Has the bytes of a chunk hashed, those before it being given already, where the writer does not do it.
    func hash(_ chunk: TensorRows.Chunk) { digests?.append(chunk) }

    /// What gives the records of all that was read, once the digest of the first plane is known.
    func sources() throws(ConversionError) -> (_ firstPlane: String) -> [SourceRecord] {
        guard let records = try digests?.records() else { return { [rows] in rows.sourceRecords([$0]) } }
        return { _ in records() }
    }
}
