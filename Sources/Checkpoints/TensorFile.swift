package import Files
package import Safetensors
package import Tensors

/// A file of named tensors that weights come from. What it says of them is validated before it is one; elements are read on demand, from any
/// thread.
package protocol TensorFile: Sendable {
    var path: String { get }
    /// Bytes of the whole file.
    var byteCount: UInt64 { get }
    /// What no output may overwrite; nil for what is no file on a disk.
    var identity: FileIdentity? { get }
    /// Every tensor, each name once.
    var tensors: [StoredTensor] { get }
    /// Fills the buffer with the bytes `range` of a tensor's elements, row-major and little-endian, however the file holds them.
    /// - Precondition: the range lies inside the tensor, and the buffer is as long as the range.
    @unsafe func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError)
    /// Throws when the file was changed since it was opened: called after the last read.
    func checkUnchanged() throws(CheckpointError)
}

/// A tensor as a file has it.
package struct StoredTensor: Sendable, Equatable {
    package let name: String
    package let dtype: DType
    package let shape: Shape
    /// Bytes that a read of any range takes beside the caller's buffer: none where the elements lie in order.
    package let scratchByteCount: Int

    package init(name: String, dtype: DType, shape: Shape, scratchByteCount: Int = 0) {
        (self.name, self.dtype, self.shape, self.scratchByteCount) = (name, dtype, shape, scratchByteCount)
    }

    package var byteCount: UInt64 { UInt64(shape.elementCount) * UInt64(dtype.byteCount) }

    /// The same elements under another shape.
    /// - Precondition: it has as many.
    func reshaped(_ shape: Shape) -> StoredTensor {
        precondition(shape.elementCount == self.shape.elementCount)
        return StoredTensor(name: name, dtype: dtype, shape: shape, scratchByteCount: scratchByteCount)
    }
}

extension SafetensorsFile: TensorFile {
    package var byteCount: UInt64 { file.size }
    package var identity: FileIdentity? { file.identity }
    package var tensors: [StoredTensor] { header.entries.map { StoredTensor(name: $0.name, dtype: $0.dtype, shape: $0.shape) } }

    @unsafe package func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let entry = entry(tensor.name) else { throw .safetensors(.missingTensor(path: path, tensor: tensor.name)) }
        precondition(range.upperBound <= entry.byteCount && range.count == buffer.count, "\(range) of \(entry.name) into \(buffer.count) bytes")
        do { unsafe try file.read(at: entry.offset + range.lowerBound, into: buffer) } catch { throw .safetensors(.file(error)) }
    }

    package func checkUnchanged() throws(CheckpointError) {
        do { try file.checkUnchanged() } catch { throw .safetensors(.file(error)) }
    }

    static func opened(_ path: String) throws(CheckpointError) -> SafetensorsFile {
        do { return try open(path) } catch { throw .safetensors(error) }
    }
}
