import Conversion
import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors

/// A checkpoint's weights, but for some that are rounded as roughly as any policy would: the reference of impacts.
struct RoundedWeights: WeightSource {
    let checkpoint: CheckpointWeights
    let rounded: Set<String>

    var fusions: Fusions { checkpoint.fusions }
    func configuration(_ name: String) throws(InferenceError) -> JSONValue { try checkpoint.configuration(name) }
    func tokenizer() throws(InferenceError) -> [UInt8] { try checkpoint.tokenizer() }
    func contains(_ name: String) -> Bool { checkpoint.contains(name) }
    func weight(_ name: String) throws(InferenceError) -> StoredWeight { try stored(name, try checkpoint.weight(name)) }
    func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight { try stored(name, try checkpoint.rows(indices, of: name)) }

    /// Rows are rounded each by itself, so that some of them are rounded as all are.
    private func stored(_ name: String, _ exact: StoredWeight) throws(InferenceError) -> StoredWeight {
        guard rounded.contains(name), let values = exact.float32 else { return exact }
        let scheme = Impacts.scheme(values.shape)
        return StoredWeight(scheme, values.shape, planes: try scheme.planes(of: values, name))
    }
}
