import Checkpoints
import Files
import StrictJSON
import Tensors

/// Tensors in memory, each held column by column, so that reading a range gathers single elements as from a transposed view.
struct MemoryFile: TensorFile {
    let path: String
    let byteCount: UInt64
    var identity: FileIdentity? { nil }
    let tensors: [StoredTensor]
    var hasChanged = false
    private let columns: [ExactString: [UInt8]]

    init(_ path: String, byteCount: UInt64 = 0, _ contents: [(name: String, tensor: EncodedTensor)], scratchByteCount: Int = 0) {
        (self.path, self.byteCount) = (path, byteCount)
        tensors = contents.map { StoredTensor(name: $0.name, dtype: $0.tensor.dtype, shape: $0.tensor.shape, scratchByteCount: scratchByteCount) }
        columns = Dictionary(uniqueKeysWithValues: contents.map { (ExactString($0.name), Self.transposed($0.tensor)) })
    }

    private static func transposed(_ tensor: EncodedTensor) -> [UInt8] {
        let (rows, columns, size) = (tensor.shape.rows, tensor.shape.columns, tensor.dtype.byteCount)
        let source = bytes(tensor)
        var result: [UInt8] = []
        for column in 0..<columns {
            for row in 0..<rows { result += source[(row * columns + column) * size..<(row * columns + column + 1) * size] }
        }
        return result
    }

    @unsafe func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let held = columns[ExactString(tensor.name)] else { throw .missingTensor(folder: path, tensor: tensor.name) }
        let (rows, columns, size) = (tensor.shape.rows, tensor.shape.columns, tensor.dtype.byteCount)
        precondition(range.lowerBound % UInt64(size) == 0 && range.upperBound % UInt64(size) == 0)
        let first = Int(range.lowerBound) / size
        unsafe held.withUnsafeBytes { held in
            for place in 0..<range.count / size {
                let (row, column) = (first + place).quotientAndRemainder(dividingBy: columns)
                let element = unsafe UnsafeRawBufferPointer(rebasing: held[(column * rows + row) * size..<(column * rows + row + 1) * size])
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[place * size..<(place + 1) * size]).copyMemory(from: element)
            }
        }
    }

    func checkUnchanged() throws(CheckpointError) {
        if hasChanged { throw .file(.changedWhileReading(path: path)) }
    }
}

extension MemoryFile {
    /// What another file holds.
    init(copying file: any TensorFile, scratchByteCount: Int = 0) throws {
        let contents = try file.tensors.map { tensor in
            let copy = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape)
            unsafe try file.read(tensor, range: 0..<tensor.byteCount, into: copy.buffer.mutableBytes)
            return (name: tensor.name, tensor: copy)
        }
        self.init(file.path, byteCount: file.byteCount, contents, scratchByteCount: scratchByteCount)
    }
}
