/// A prompt as SANA-Sprint's text encoder takes it: the instruction, the prompt, and which of its positions the image model sees.
///
/// The reference pads to a fixed length; padding comes last and attention is causal, so `ids` leaves it away, and the padded forms are
/// there for traces. Source: diffusers, pipelines/sana/pipeline_sana_sprint.py (`_get_gemma_prompt_embeds`, `encode_prompt`).
package struct SanaSprintPrompt: Sendable, Equatable {
    /// How many positions the image model sees when nothing else is said.
    package static let defaultMaximumLength = 300

    /// Token ids, `<bos>` first, without padding.
    package let ids: [Int32]
    /// Positions in `ids` whose features the image model gets: `<bos>`, then the prompt's own tokens. Ascending.
    package let keptPositions: [Int]
    /// How many tokens did not fit and were cut off the prompt's end; not zero is a reason for a warning.
    let truncatedTokenCount: Int

    /// The length to which the reference pads the ids.
    private let paddedLength: Int
    private let maximumLength: Int

    /// - Parameters:
    ///   - text: as the user typed it; it is lower-cased and stripped as Python does.
    ///   - withInstruction: false leaves out the instruction.
    ///   - maximumLength: how many positions the image model sees.
    /// - Precondition: `maximumLength` is at least 2: `<bos>` and a token.
    package init(_ text: String, tokenizer: GemmaTokenizer, withInstruction: Bool = true, maximumLength: Int = defaultMaximumLength) {
        precondition(maximumLength >= 2, "\(maximumLength) positions")
        self.maximumLength = maximumLength
        let prompt = PythonText.normalized(text)
        let all: [Int32]
        if withInstruction {
            // Two less, in the reference's words: <bos>, and the last "▁" of the instruction, which the prompt's first token takes in.
            paddedLength = tokenizer.encode(SanaSprintInstruction.text).count + maximumLength - 2
            all = tokenizer.encode(SanaSprintInstruction.text + prompt)
        } else {
            paddedLength = maximumLength
            all = tokenizer.encode(prompt)
        }
        ids = Array(all.prefix(paddedLength))
        truncatedTokenCount = all.count - ids.count
        // The reference takes position 0 and the last ones of the padded sequence; this is what of them is not padding.
        let firstKept = max(paddedLength - (maximumLength - 1), 0)
        keptPositions = [0] + (firstKept..<max(firstKept, ids.count))
    }
}

extension SanaSprintPrompt {
    /// The tokens with which every prompt behind the instruction begins and of which the image model sees `<bos>` alone.
    package static func sharedTokens(_ tokenizer: GemmaTokenizer) -> [Int32] {
        let instruction = tokenizer.encode(SanaSprintInstruction.text)
        // The reference counts the instruction's last token as the prompt's first.
        return Array(tokenizer.stablePrefix(of: SanaSprintInstruction.text).prefix(max(1, instruction.count - 1)))
    }
}

// MARK: - Padded, for traces

extension SanaSprintPrompt {
    /// The id that fills up: `<pad>`.
    private static let padding: Int32 = 0

    /// Probe `text.input_ids`.
    package var paddedIDs: [Int32] { ids + [Int32](repeating: Self.padding, count: paddedLength - ids.count) }

    /// Probe `text.attention_mask`: 1 for tokens, 0 for padding.
    var attentionMask: [Int32] {
        [Int32](repeating: 1, count: ids.count) + [Int32](repeating: 0, count: paddedLength - ids.count)
    }

    /// Probe `prompt_mask`, `[maximumLength]`: 1 where the image model sees a token, which are the first `keptPositions.count`.
    var promptMask: [Int32] {
        [Int32](repeating: 1, count: keptPositions.count) + [Int32](repeating: 0, count: maximumLength - keptPositions.count)
    }
}
