package import Checkpoints
package import Inference
package import Operations
import PackedFiles
package import StrictJSON
import Synchronization
import Tensors

/// A checkpoint's weights as the runtime wants them: packed names and shapes, float32, nothing quantized.
///
/// This is the reference that a packed file is proven against: what stands between the checkpoint and the runtime is the weight table alone.
package struct CheckpointWeights: WeightSource {
    package let fusions: Fusions
    private let checkpoint: Checkpoint
    private let tensors: [ExactString: PlannedTensor]

    /// Finds the weights; they are read when asked for. `fusions` may include those that change values, to compare the two forms.
    package init(_ checkpoint: Checkpoint, fusions: Fusions = .lossless, components: ComponentSelection = .all, edit: RowEdit? = nil) throws(ConversionError) {
        let selected = try components.resolved(folders: Set(checkpoint.components.keys))
        let resolution = try WeightResolution(checkpoint, components: selected, fusions: fusions, edit: edit)
        self.checkpoint = checkpoint
        self.fusions = fusions
        tensors = Dictionary(uniqueKeysWithValues: resolution.tensors.map { (ExactString($0.name), $0) })
    }

    package func configuration(_ name: String) throws(InferenceError) -> JSONValue {
        guard let component = checkpoint.components[name] else { throw .source("\(checkpoint.path): there is no \(name)") }
        return component.configuration
    }

    package func tokenizer() throws(InferenceError) -> [UInt8] {
        guard let file = checkpoint.tokenizerJSON else { throw .source("\(checkpoint.path): there is no tokenizer/tokenizer.json") }
        return file.bytes
    }

    package var tokenizerByteCount: Int { checkpoint.tokenizerJSON?.bytes.count ?? 0 }

    package var summaries: [WeightSummary] {
        tensors.values.map { tensor in
            WeightSummary(name: tensor.name, role: tensor.row.role, shape: tensor.row.shape)
        }
    }

    /// Each thread's piece as it is stored and in float32, and what adapters add to one weight.
    package var readingBytes: Int {
        let added = tensors.values.map { $0.operands.reduce(0) { $0 + ($1.shape.rank > 1 ? $1.shape.elementCount : 0) } }.max() ?? 0
        return Self.pieceBytes + 3 * MemoryLayout<Float>.stride * added
    }

    /// Bytes of the pieces that all threads read at once.
    fileprivate static var pieceBytes: Int { Parallel.threads * pieceElements * (MemoryLayout<Double>.stride + MemoryLayout<Float>.stride) }

    package func contains(_ name: String) -> Bool { tensors[ExactString(name)] != nil }

    /// How a weight comes from the checkpoint; nil for a name that there is none of.
    package func recipe(_ name: String) -> Recipe? { tensors[ExactString(name)]?.row.recipe }

    /// One weight in float32: exact for float16, bfloat16 and float32, rounded to nearest for float64. NaN and infinity are served as they are.
    package func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        try read(name) { rows in
            let columns = rows.tensor.row.shape.columns
            var first = 0
            return rows.pieces(rows: max(1, Self.pieceElements / max(1, columns))).map { piece in
                defer { first += piece.rows.count }
                return (place: first, index: piece.index, rows: piece.rows)
            }
        }
    }

    /// Elements that one thread reads at a time.
    private static let pieceElements = 1 << 18

    /// Some rows of one weight in float32: of the checkpoint's tensor no others are read.
    package func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight {
        try read(name, count: indices.count) { rows in
            indices.enumerated().map { place, index in
                let (source, row) = rows.source(ofRow: index)
                return (place: place, index: source, rows: row..<row + 1)
            }
        }
    }

    /// A tensor of pieces, each at its row, that the threads read.
    private func read(
        _ name: String, count: Int? = nil, _ pieces: (TensorRows) -> [(place: Int, index: Int, rows: Range<Int>)]
    ) throws(InferenceError) -> StoredWeight {
        guard let tensor = tensors[ExactString(name)] else { throw .missing(name: name, source: checkpoint.path) }
        let shape = tensor.row.shape
        let result = try allocating(try EncodedTensor(dtype: .f32, shape: Shape([count ?? shape.rows] + shape.extents.dropFirst())))
        do throws(ConversionError) {
            let rows = try TensorRows(tensor, checkpoint)
            let pieces = pieces(rows)
            let target = unsafe SharedPointer(result.buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self))
            let failure = Mutex<ConversionError?>(nil)
            Parallel.forEach(pieces.count) { range in
                for piece in pieces[range] {
                    do throws(ConversionError) {
                        let values = try rows.values(try rows.read(piece.rows, ofSource: piece.index), for: .f32)
                        withExtendedLifetime(values) {
                            unsafe (target.pointer + piece.place * shape.columns).update(from: values.pointer, count: values.count)
                        }
                    } catch { failure.withLock { $0 = $0 ?? error } }
                }
            }
            if let error = failure.withLock({ $0 }) { throw error }
        } catch { throw .unreadable(name: name, reason: "\(error)") }
        return .plain(result)
    }
}

extension ConversionPlan {
    /// Bytes in use while the layers of the checkpoint run, one at a time: the largest one's weights in float32, and of one weight what it is read
    /// from and made into, with the pieces or frames that this passes through. Blocks that are used again for less are counted whole.
    package var layerByteCount: Int {
        var layers: [String: Int] = [:]
        var largest = 0
        // Of the table of tokens only the rows that are asked for are read.
        for tensor in tensors where tensor.row.role != .embedding {
            let bytes = tensor.row.shape.elementCount * MemoryLayout<Float>.stride
            layers[SanaSprintWeights.layer(of: tensor.name), default: 0] += bytes
            largest = max(largest, bytes)
        }
        return (layers.values.max() ?? 0) + 2 * largest + max(CheckpointWeights.pieceBytes, PackedFile.readingBytes) + Memory.restBytes
    }
}
