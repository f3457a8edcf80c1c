package import Conversion
package import Inference
package import Operations
package import PackedFiles
package import StrictJSON
package import Tensors

/// A packed file's weights, but for some that are what a rule for 16 bits would store of the checkpoint.
package struct KeptWeights: WeightSource {
    let file: PackedWeights
    /// The checkpoint's, with the file's fusions.
    let checkpoint: CheckpointWeights
    /// The type of each tensor that is kept.
    let kept: [String: Scheme]

    package var fusions: Fusions { file.fusions }
    package var frozenSchedule: FrozenSchedule? { file.frozenSchedule }
    package func configuration(_ name: String) throws(InferenceError) -> JSONValue { try file.configuration(name) }
    package func tokenizer() throws(InferenceError) -> [UInt8] { try file.tokenizer() }
    package func contains(_ name: String) -> Bool { file.contains(name) }

    package func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        guard let scheme = kept[name] else { return try file.weight(name) }
        return .plain(try Self.stored(name, scheme, checkpoint))
    }

    /// A tensor of the checkpoint in a 16-bit type.
    package static func stored(_ name: String, _ scheme: Scheme, _ checkpoint: CheckpointWeights) throws(InferenceError) -> EncodedTensor {
        let stored = try checkpoint.weight(name)
        guard let source = stored.float32 else { throw .unreadable(name: name, reason: "expected the checkpoint's values in float32, found \(stored.scheme)") }
        return try scheme.planes(of: source, name)[0]
    }
}

extension Scheme {
    /// The planes of a weight that a model is about to be run with.
    func planes(of values: Tensor, _ name: String) throws(InferenceError) -> [EncodedTensor] {
        do throws(PackedFileError) { return try encode(values, subject: name) } catch {
            if case .machine(let error) = error { throw .machine(error) }
            throw .unreadable(name: name, reason: "\(error)")
        }
    }
}

extension TensorEntry {
    /// The 16-bit type in which a rule keeps the tensor with the least loss: the sources' own where they have one, else bfloat16, whose range is
    /// float32's.
    package var keptScheme: Scheme { sources.allSatisfy { $0.dtype == .f16 } ? .f16 : .bf16 }
}
