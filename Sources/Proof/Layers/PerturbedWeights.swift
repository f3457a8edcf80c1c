import Conversion
import Inference
import Operations
import PackedFiles
import StrictJSON

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
    func configuration(_ name: String) throws(InferenceError) -> JSONValue { try weights.configuration(name) }
    func tokenizer() throws(InferenceError) -> [UInt8] { try weights.tokenizer() }
    func contains(_ name: String) -> Bool { weights.contains(name) }

    func weight(_ name: String) throws(InferenceError) -> StoredWeight { try perturbed(try weights.weight(name), of: name) }

    func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight {
        try perturbed(try weights.rows(indices, of: name), of: name, rows: indices)
    }

    /// - Parameter rows: which of the weight's rows `stored` has; nil for all.
    private func perturbed(_ stored: StoredWeight, of name: String, rows: [Int]? = nil) throws(InferenceError) -> StoredWeight {
        // The file may have tables in the place of these networks.
        guard let entry = file.entry(name) else { return stored }
        guard let source = stored.float32 else { throw .unreadable(name: name, reason: "expected the checkpoint's values in float32, found \(stored.scheme)") }
        do throws(PackedFileError) {
            let planes = try entry.scheme.perturbed(source, whole: file.wholePlanes(of: entry)) { row in
                StochasticRounding(seed: name, row: rows?[row] ?? row)
            }
            return StoredWeight(entry.scheme, stored.shape, planes: planes, activations: entry.activations ?? .float)
        } catch {
            if case .machine(let error) = error { throw .machine(error) }
            throw .unreadable(name: name, reason: "\(error)")
        }
    }
}

/// Another source's weights with floating-point activations: separates what the weights cost from what integer arithmetic costs.
struct FloatActivations: WeightSource {
    let source: any WeightSource

    var fusions: Fusions { source.fusions }
    var frozenSchedule: FrozenSchedule? { source.frozenSchedule }
    func configuration(_ name: String) throws(InferenceError) -> JSONValue { try source.configuration(name) }
    func tokenizer() throws(InferenceError) -> [UInt8] { try source.tokenizer() }
    func contains(_ name: String) -> Bool { source.contains(name) }

    func weight(_ name: String) throws(InferenceError) -> StoredWeight { Self.withFloats(try source.weight(name)) }
    func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight { Self.withFloats(try source.rows(indices, of: name)) }

    private static func withFloats(_ stored: StoredWeight) -> StoredWeight {
        var stored = stored
        stored.activations = .float
        return stored
    }
}
