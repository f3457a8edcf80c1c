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
    func tokenizer() throws(WeightError) -> [UInt8] { try source.tokenizer() }
    func contains(_ name: String) -> Bool { source.contains(name) }

    func configuration(_ name: String) throws(WeightError) -> JSONValue {
        var value = try source.configuration(name)
        for edit in suspicion.configuration where edit.folder == name {
            guard var object = value.object else { continue }
            object[edit.key] = edit.value
            value = .object(object)
        }
        return value
    }

    func weight(_ name: String) throws(WeightError) -> StoredWeight {
        let other = suspicion.replaced(name)
        let stored = try source.weight(source.contains(other) ? other : name)
        guard let edit = suspicion.edits[name] else { return stored }
        do throws(AllocationError) {
            switch stored {
            case .plain(let tensor): return .plain(EncodedTensor(try edit(try tensor.widened())))
            case .int8PerChannel(_, _, let activations): return try Self.encoded(edit(stored.widened()), .int8PerChannel, activations, name)
            case .int8Rotated(_, _, let activations): return try Self.encoded(edit(stored.widened()), .int8Rotated, activations, name)
            }
        } catch { throw .memory(error) }
    }

    /// Still in integers, so that nothing but the mistake is different.
    private static func encoded(_ edited: Tensor, _ scheme: Scheme, _ activations: ActivationScheme, _ name: String) throws(AllocationError) -> StoredWeight {
        guard let planes = try? scheme.encode(edited, subject: name) else { return .plain(EncodedTensor(edited)) }
        let scales = try planes[1].widened()
        return scheme == .int8Rotated
            ? .int8Rotated(values: planes[0], scales: scales, activations: activations)
            : .int8PerChannel(values: planes[0], scales: scales, activations: activations)
    }
}
