package import Operations
package import StrictJSON
import Tensors

/// Where a model's weights and configuration come from: a packed file, or a checkpoint that Conversion serves unquantized.
///
/// Names and shapes are those of the packed weight table (`WeightTable`), not those of the checkpoint.
package protocol WeightSource: Sendable {
    /// The JSON of a component's configuration file, as the checkpoint had it: "transformer", "vae", "text_encoder", "scheduler".
    func configuration(_ name: String) throws(InferenceError) -> JSONValue
    /// The bytes of `tokenizer.json`.
    func tokenizer() throws(InferenceError) -> [UInt8]
    /// Which fusions the weights have been through; they decide which names the table has.
    var fusions: Fusions { get }
    /// Mistakes to make on purpose: none, but for a search for causes.
    var deviations: Deviations { get }
    func contains(_ name: String) -> Bool
    /// Reads some rows of one weight, as they are stored: what `weight` gives with the others left out.
    /// - Parameter indices: of the first axis, ascending, each once.
    func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight
    /// Reads one weight, whole, as it is stored.
    func weight(_ name: String) throws(InferenceError) -> StoredWeight
    /// All weights, described without being read; empty where the source states none.
    var summaries: [WeightSummary] { get }
    /// Bytes of `tokenizer.json`.
    var tokenizerByteCount: Int { get }
    /// Bytes that reading weights takes beside them, and keeps.
    var readingBytes: Int { get }
    /// What the text encoder computes of every prompt's first tokens; nil where the source does not have it.
    /// - Throws: where it has one that is not of these weights.
    func promptPrefix() throws(InferenceError) -> PromptPrefix?
    /// The schedule whose tables the weights have in place of the networks of time and guidance; nil where they have the networks.
    var frozenSchedule: FrozenSchedule? { get }
}

extension WeightSource {
    package var summaries: [WeightSummary] { [] }
    package var tokenizerByteCount: Int { 0 }
    package var readingBytes: Int { 0 }
    package func promptPrefix() throws(InferenceError) -> PromptPrefix? { nil }
    package var frozenSchedule: FrozenSchedule? { nil }

    /// The configuration files of a model with some components, by folder.
    func configurations(of components: [Component]) throws(InferenceError) -> [String: JSONValue] {
        var files: [String: JSONValue] = [:]
        for folder in SanaSprintConfiguration.folders(of: components) { files[folder] = try configuration(folder) }
        return files
    }

    /// Whether the source has the component, going by a weight that every configuration of it has.
    package func has(_ component: Component) -> Bool { component.definition.marker.map(contains) ?? false }

    /// For sources that hold their weights in memory anyway: the rows are copied out of the whole weight.
    package func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight {
        let whole = try weight(name)
        precondition(indices.allSatisfy { (0..<whole.shape.rows).contains($0) }, "no rows of \(name)")
        return try allocating(try whole.rows(indices))
    }
}
