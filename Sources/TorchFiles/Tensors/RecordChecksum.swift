import Files
import Synchronization

/// The checksum of a storage's record, gathered from the pieces that are read anyway, in whatever order and by whichever thread. Once all bytes have been
/// there, it must be the archive's. Bytes that come again, and those of strided views, do not count.
final class RecordChecksum: Sendable {
    private let entry: String
    private let expected: UInt32
    private let byteCount: UInt64
    private let state = Mutex(State())

    private struct Piece {
        var range: Range<UInt64>
        var checksum: UInt32
    }

    private struct State {
        /// Apart from each other, sorted.
        var pieces: [Piece] = []
        /// The checksum of the whole record, once it is known.
        var found: UInt32?

        /// The first piece that ends behind `offset`.
        func index(behind offset: UInt64) -> Int {
            var (low, high) = (0, pieces.count)
            while low < high {
                let middle = (low + high) / 2
                if pieces[middle].range.upperBound > offset { high = middle } else { low = middle + 1 }
            }
            return low
        }

        func overlaps(_ range: Range<UInt64>) -> Bool {
            let index = index(behind: range.lowerBound)
            return index < pieces.count && pieces[index].range.lowerBound < range.upperBound
        }

        mutating func insert(_ piece: Piece) {
            let index = index(behind: piece.range.lowerBound)
            pieces.insert(piece, at: index)
            if index + 1 < pieces.count, pieces[index + 1].range.lowerBound == piece.range.upperBound { join(index) }
            if index > 0, pieces[index - 1].range.upperBound == piece.range.lowerBound { join(index - 1) }
        }

        /// Makes one piece of two neighbours.
        private mutating func join(_ index: Int) {
            let next = pieces.remove(at: index + 1)
            pieces[index].checksum = CRC32.joined(pieces[index].checksum, next.checksum, byteCount: next.range.count)
            pieces[index].range = pieces[index].range.lowerBound..<next.range.upperBound
        }
    }

    init(_ entry: ZipEntry) { (self.entry, expected, byteCount) = (entry.name, entry.checksum, entry.byteCount) }

    /// Takes bytes of the record that have been read.
    /// - Throws: when the whole record is another than the archive says, then and ever after.
    @unsafe func add(_ range: Range<UInt64>, _ bytes: UnsafeRawBufferPointer, path: String) throws(TorchFileError) {
        guard !range.isEmpty else { return }
        let isNew = state.withLock { $0.found == nil && !$0.overlaps(range) }
        let checksum = unsafe isNew ? CRC32.hash(bytes) : 0
        let found = state.withLock { state in
            if isNew, state.found == nil, !state.overlaps(range) {
                state.insert(Piece(range: range, checksum: checksum))
                if let whole = state.pieces.first, UInt64(whole.range.count) == byteCount { (state.found, state.pieces) = (whole.checksum, []) }
            }
            return state.found
        }
        guard let found, found != expected else { return }
        throw .checksum(path: path, entry: entry, expected: expected, found: found)
    }
}
