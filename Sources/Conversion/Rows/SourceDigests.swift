import Checkpoints
import Files
import Inference
import PackedFiles
import Tensors

/// SHA-256 of the sources of a tensor whose rows stream by.
struct SourceDigests {
    private let rows: TensorRows
    /// One for each source; nil where the rows come in another order than their bytes.
    private let streams: [OrderedDigest?]

    init(_ rows: TensorRows, _ streams: HashingStreams) {
        self.rows = rows
        self.streams = rows.tensor.rows.map { $0.keepsOrder ? OrderedDigest(streams) : nil }
    }

    /// Has the bytes of a chunk hashed, those before it being given already.
    func append(_ chunk: TensorRows.Chunk) { streams[chunk.index]?.append(chunk.stored.buffer, 0..<chunk.stored.buffer.byteCount) }

    /// The records of all that the tensor was made of; reads what did not come in order once more.
    func records() throws(ConversionError) -> () -> [SourceRecord] {
        var digests: [() -> String] = []
        for (index, stream) in streams.enumerated() {
            if let stream {
                digests.append(stream.digest)
            } else {
                let digest = try rows.digest(ofSource: index)
                digests.append { digest }
            }
        }
        return { [rows, digests] in rows.sourceRecords(digests.map { $0() }) }
    }
}

extension Checkpoint {
    func component(of tensor: PlannedTensor) throws(ConversionError) -> CheckpointComponent {
        guard let folder = tensor.component.folder, let component = components[folder] else {
            throw .component(tensor.component.rawValue, message: "\(path) has no folder for it")
        }
        return component
    }
}

extension CheckpointComponent {
    /// SHA-256 of a tensor's bytes, a few at a time.
    func digest(of source: StoredTensor) throws(ConversionError) -> String {
        var stream = SHA256Stream()
        let most: UInt64 = 1 << 20
        for first in stride(from: 0, to: source.byteCount, by: Int(most)) {
            let range = first..<min(source.byteCount, first + most)
            stream.update(try wrapping(ConversionError.checkpoint, try bytes(of: source.name, range)))
        }
        return stream.digest()
    }
}
