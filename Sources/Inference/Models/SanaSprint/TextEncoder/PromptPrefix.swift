package import StrictJSON
import Tensors

/// What the text encoder computes of the tokens that every prompt begins with: the instruction's (Formats/prefix-cache.md).
///
/// Attention is causal, so that no later token changes it. All values are float32, so that features with and without it agree.
package struct PromptPrefix: Sendable {
    let index: Index
    /// The normed hidden state of position 0, `[1, width]`: the only one before the prompt that the image model sees.
    let first: Tensor
    /// Keys and values of a layer, `[tokens, 2 * keyValueWidth]`, the keys turned to their positions.
    let keyValues: @Sendable (_ layer: Int) throws(InferenceError) -> Tensor

    var ids: [Int32] { index.ids }

    /// What the attachment says about itself.
    package struct Index: Sendable, Equatable {
        let ids: [Int32]
        /// The content hash of the file that it was computed from: of its weights, its configuration and its tokenizer.
        let contentHash: String

        package init(ids: [Int32], contentHash: String) { (self.ids, self.contentHash) = (ids, contentHash) }
    }

    /// Names of the attachments.
    package static let folder = "prefix-cache/"
    package static let indexName = folder + "index.json"
    package static let firstName = folder + "first"
    package static func name(ofLayer layer: Int) -> String { "\(folder)layers.\(SanaSprintWeights.number(layer))" }
}

extension PromptPrefix.Index {
    package var json: JSONValue {
        ["contentHash": .string(contentHash), "dtype": "F32", "ids": .array(ids.map { .integer(Int64($0)) }), "version": 1]
    }

    init(_ json: JSONValue) throws(JSONError) {
        let fields = try JSONFields(json, subject: PromptPrefix.indexName)
        _ = try fields.int("version", in: 1...1)
        guard try fields.string("dtype") == "F32" else {
            throw .field(subject: "\(PromptPrefix.indexName): dtype", expected: "F32", found: try fields.string("dtype"))
        }
        contentHash = try fields.string("contentHash")
        var ids: [Int32] = []
        for value in try fields.array("ids") {
            guard let id = value.integer.flatMap({ Int32(exactly: $0) }) else {
                throw .field(subject: "\(PromptPrefix.indexName): ids", expected: "token ids", found: value.text)
            }
            ids.append(id)
        }
        guard !ids.isEmpty else { throw .field(subject: "\(PromptPrefix.indexName): ids", expected: "at least one", found: "none") }
        self.ids = ids
    }
}

extension PromptPrefix {
    /// How many of a prompt's first tokens need not be computed: all of the prefix, or none.
    ///
    /// Position 0 is the only one of the prefix whose features are kept, so that none other may be asked for.
    func covers(_ prompt: SanaSprintPrompt) -> Bool {
        let firstOwn = prompt.keptPositions.dropFirst().first ?? prompt.ids.count
        return prompt.ids.count > ids.count && firstOwn >= ids.count && prompt.ids.starts(with: ids)
    }
}
