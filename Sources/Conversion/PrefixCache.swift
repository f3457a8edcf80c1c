import Checkpoints
package import Inference
package import Operations
package import PackedFiles
import StrictJSON
import Tensors

/// Computes what the text encoder makes of the instruction before every prompt, from a packed file's own weights (Formats/prefix-cache.md).
package enum PrefixCache {
    package typealias Attachment = Converter.Attachment

    /// The attachments of a file; none where its tokenizer lets no token of the instruction stand for every prompt.
    package static func attachments(of file: PackedFile, on executor: CPU) throws(InferenceError) -> [Attachment] {
        let pipeline = try SanaSprintPipeline(weights: try PackedWeights(file), on: executor)
        let ids = SanaSprintPrompt.sharedTokens(try pipeline.tokenizer())
        // <bos> alone is computed as fast as it is read.
        guard ids.count > 1 else { return [] }
        let index = PromptPrefix.Index(ids: ids, contentHash: file.contentHash)
        var attachments: [Attachment] = [(PromptPrefix.indexName, index.json.canonicalText)]
        let first = try pipeline.textEncoder().computePrefix(ids) { layer, keyValues in
            attachments.append((PromptPrefix.name(ofLayer: layer), EncodedTensor(keyValues).contents))
        }
        attachments.append((PromptPrefix.firstName, EncodedTensor(first).contents))
        return attachments
    }
}

// MARK: - Planning

extension PrefixCache {
    /// What the cache of a conversion is going to take, from configuration and tokenizer alone.
    package struct Estimate: Sendable {
        /// Tokens that every prompt begins with.
        package private(set) var tokens = 0
        /// Bytes of the attachments.
        package private(set) var byteCount: UInt64 = 0
        /// Bytes in use while they are computed: one layer's weights, what flows through it, and the attachments.
        private(set) var memory = 0

        init(_ checkpoint: Checkpoint, _ configuration: SanaSprintConfiguration, _ tensors: [PlannedTensor]) throws(ConversionError) {
            guard let text = configuration.text, let file = checkpoint.tokenizerJSON else { return }
            tokens = SanaSprintPrompt.sharedTokens(try wrapping(ConversionError.prefixCache, try GemmaTokenizer(file.bytes))).count
            guard tokens > 1 else { return }
            byteCount = UInt64(MemoryLayout<Float>.stride) * UInt64(text.layers * tokens * 2 * text.keyValueWidth + text.width)
            var layers = [UInt64](repeating: 0, count: text.layers)
            for tensor in tensors {
                guard let layer = (0..<text.layers).first(where: { tensor.name.hasPrefix(SanaSprintWeights.textLayer($0)) }) else { continue }
                layers[layer] += tensor.packedByteCount
            }
            let channels = 4 * text.width + 3 * text.hidden + 2 * (text.queryWidth + 2 * text.keyValueWidth) + text.heads * tokens
            memory = Int(2 * (layers.max() ?? 0) + byteCount) + MemoryLayout<Float>.stride * tokens * channels
        }
    }
}
