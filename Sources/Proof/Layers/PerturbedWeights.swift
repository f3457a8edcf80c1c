import Conversion
import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors

/// The checkpoint's weights with the noise of the file's schemes, drawn independently of the file: what an honest file may cost.
struct PerturbedWeights: WeightSource {
    private let weights: CheckpointWeights
    private let file: PackedFile

    /// - Parameter weights: the checkpoint's, with the file's fusions.
    init(_ weights: CheckpointWeights, like file: PackedFile) {
        self.weights = weights
        self.file = file
    }

    var fusions: Fusions { weights.fusions }
    func configuration(_ name: String) throws(WeightError) -> JSONValue { try weights.configuration(name) }
    func tokenizer() throws(WeightError) -> [UInt8] { try weights.tokenizer() }
    func contains(_ name: String) -> Bool { weights.contains(name) }

    func weight(_ name: String) throws(WeightError) -> StoredWeight { try perturbed(try weights.weight(name), of: name) }

    func rows(_ indices: [Int], of name: String) throws(WeightError) -> StoredWeight {
        try perturbed(try weights.rows(indices, of: name), of: name, rows: indices)
    }

    /// - Parameter rows: which of the weight's rows `stored` has; nil for all.
    private func perturbed(_ stored: StoredWeight, of name: String, rows: [Int]? = nil) throws(WeightError) -> StoredWeight {
        // The file may have tables in the place of these networks.
        guard let entry = file.entry(name) else { return stored }
        guard case .plain(let source) = stored, source.dtype == .f32, entry.scheme != .f32 else { return stored }
        do throws(AllocationError) { return try Self.perturbed(source, entry, rows) } catch { throw .memory(error) }
    }

    private static func perturbed(_ stored: EncodedTensor, _ entry: TensorEntry, _ indices: [Int]?) throws(AllocationError) -> StoredWeight {
        let source = EncodedTensor(try entry.scheme.basis(of: Tensor(sharing: stored)))
        let isRotated = entry.scheme == .int8Rotated
        let isInteger = isRotated || entry.scheme == .int8PerChannel
        let (rows, columns) = (source.shape.rows, source.shape.columns)
        let values = try EncodedTensor(dtype: isInteger ? .i8 : .f32, shape: source.shape)
        let scales = try EncodedTensor(dtype: .f32, shape: [isInteger ? rows : 0])
        let elements = unsafe SharedPointer(reading: source.bytes.assumingMemoryBound(to: Float.self).baseAddress!)
        let (bytes, steps) = unsafe (SharedPointer(values.buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: UInt8.self)), scales.floats)
        Parallel.forEach(rows) { range in
            for row in range {
                var draw = StochasticRounding(seed: entry.name, row: indices?[row] ?? row)
                let from = unsafe UnsafeBufferPointer(start: elements.pointer + row * columns, count: columns)
                let place = unsafe UnsafeMutableRawPointer(bytes.pointer)
                if isInteger {
                    let to = unsafe UnsafeMutableBufferPointer(start: (place + row * columns).assumingMemoryBound(to: Int8.self), count: columns)
                    unsafe steps.pointer[row] = draw.int8(from, into: to)
                } else {
                    let to = unsafe UnsafeMutableBufferPointer(start: (place + 4 * row * columns).assumingMemoryBound(to: Float.self), count: columns)
                    unsafe draw.round(from, to: entry.scheme, into: to)
                }
            }
        }
        guard isInteger else { return .plain(values) }
        let activations = entry.activations.flatMap(ActivationScheme.init) ?? .float
        return isRotated
            ? .int8Rotated(values: values, scales: try scales.widened(), activations: activations)
            : .int8PerChannel(values: values, scales: try scales.widened(), activations: activations)
    }
}

extension EncodedTensor {
    @unsafe fileprivate var floats: SharedPointer<Float> {
        unsafe SharedPointer(buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self))
    }
}

/// Another source's weights with floating-point activations: separates what the weights cost from what integer arithmetic costs.
struct FloatActivations: WeightSource {
    let source: any WeightSource

    var fusions: Fusions { source.fusions }
    var frozenSchedule: FrozenSchedule? { source.frozenSchedule }
    func configuration(_ name: String) throws(WeightError) -> JSONValue { try source.configuration(name) }
    func tokenizer() throws(WeightError) -> [UInt8] { try source.tokenizer() }
    func contains(_ name: String) -> Bool { source.contains(name) }

    func weight(_ name: String) throws(WeightError) -> StoredWeight { Self.withFloats(try source.weight(name)) }
    func rows(_ indices: [Int], of name: String) throws(WeightError) -> StoredWeight { Self.withFloats(try source.rows(indices, of: name)) }

    private static func withFloats(_ stored: StoredWeight) -> StoredWeight {
        switch stored {
        case .plain: stored
        case .int8PerChannel(let values, let scales, _): .int8PerChannel(values: values, scales: scales, activations: .float)
        case .int8Rotated(let values, let scales, _): .int8Rotated(values: values, scales: scales, activations: .float)
        }
    }
}
