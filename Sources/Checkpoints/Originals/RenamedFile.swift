import Files
import StrictJSON
import Tensors

/// A file whose tensors have other names than diffusers gives them, seen under those: the rows of what diffusers splits are read by their range.
final class RenamedFile: TensorFile {
    private let file: any TensorFile
    private let pieces: [ExactString: TensorPiece]
    let tensors: [StoredTensor]

    /// - Throws: where two tensors of the file become one.
    init(_ file: any TensorFile, pieces: [TensorPiece]) throws(CheckpointError) {
        self.file = file
        var byName: [ExactString: TensorPiece] = [:]
        for piece in pieces {
            if let other = byName.updateValue(piece, forKey: ExactString(piece.name)) {
                throw .nameCollision(folder: file.path, tensor: piece.name, stored: [other.source.name, piece.source.name])
            }
        }
        self.pieces = byName
        tensors = pieces.map { StoredTensor(name: $0.name, dtype: $0.source.dtype, shape: $0.shape, scratchByteCount: $0.source.scratchByteCount) }
    }

    var path: String { file.path }
    var byteCount: UInt64 { file.byteCount }
    var identity: FileIdentity? { file.identity }

    @unsafe func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let piece = pieces[ExactString(tensor.name)] else { throw .missingTensor(folder: path, tensor: tensor.name) }
        // A piece's rows are as long as its source's.
        let start = UInt64(piece.rows.lowerBound) * UInt64(piece.source.shape.columns * piece.source.dtype.byteCount)
        unsafe try file.read(piece.source, range: start + range.lowerBound..<start + range.upperBound, into: buffer)
    }

    func checkUnchanged() throws(CheckpointError) { try file.checkUnchanged() }
}
