import Inference
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
            case .int8PerChannel(let values, let scales, let activations):
                let edited = try edit(try Scheme.int8PerChannel.decode([values, EncodedTensor(scales)], shape: values.shape))
                // Still in integers, so that nothing but the mistake is different.
                guard let planes = try? Scheme.int8PerChannel.encode(edited, subject: name) else { return .plain(EncodedTensor(edited)) }
                return .int8PerChannel(values: planes[0], scales: try planes[1].widened(), activations: activations)
            }
        } catch { throw .memory(error) }
    }
}
