import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors

/// A model's weights with one mistake in them, made on purpose.
struct VariantWeights: WeightSource {
    let source: any WeightSource
    let suspicion: Suspicion

    var fusions: Fusions { source.fusions }
    var deviations: Deviations { suspicion.deviations }
    var frozenSchedule: FrozenSchedule? { source.frozenSchedule }
    func tokenizer() throws(InferenceError) -> [UInt8] { try source.tokenizer() }
    func contains(_ name: String) -> Bool { source.contains(name) }

    func configuration(_ name: String) throws(InferenceError) -> JSONValue {
        var value = try source.configuration(name)
        for edit in suspicion.configuration where edit.folder == name {
            guard var object = value.object else { continue }
            object[edit.key] = edit.value
            value = .object(object)
        }
        return value
    }

    func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        let other = suspicion.replaced(name)
        let stored = try source.weight(source.contains(other) ? other : name)
        guard let edit = suspicion.edits[name] else { return stored }
        return try allocating { () throws(MachineError) in
            let edited = try edit(stored.widened())
            // Still in integers, so that nothing but the mistake is different.
            let whole = stored.scheme.wholePlanes(of: stored.planes, shape: stored.shape)
            guard stored.scheme.isQuantized, edited.shape == stored.shape, let planes = try? stored.scheme.allocate(edited.shape, whole: whole),
                (try? stored.scheme.encode(edited, into: planes, at: 0, subject: name)) != nil
            else { return .plain(EncodedTensor(edited)) }
            return StoredWeight(stored.scheme, edited.shape, planes: planes, activations: stored.activations)
        }
    }
}
