import StrictJSON

/// Gemma's tokenizer: byte-pair encoding with byte fallback, as a `tokenizer.json` of Hugging Face's tokenizers describes it.
///
/// Gives the ids that `tokenizers` gives for the same file and text. What the file asks for and this type does not do is an error
/// when it is loaded, never a difference in ids.
package struct GemmaTokenizer: Sendable {
    /// The largest id that `encode` can give; an embedding needs one more row than that.
    let maximumID: Int32

    let normalization: Normalization
    let splitsAfterSpaces: Bool
    let prefix: [Int32]
    /// Added tokens that are looked for in the text as it is given, and those looked for after normalization.
    let plainTokens: TokenTrie
    let normalizedTokens: TokenTrie
    let vocabulary: PieceTable
    let alphabet: Alphabet
    let merges: PairMerges

    /// Reads the bytes of a `tokenizer.json`.
    package init(_ json: [UInt8]) throws(InferenceError) {
        let file = try TokenizerFile(json)
        let configuration = try TokenizerConfiguration(members: file.members, model: file.model)
        normalization = configuration.normalization
        splitsAfterSpaces = configuration.splitsAfterSpaces
        prefix = configuration.prefix
        vocabulary = file.vocabulary
        merges = file.merges
        alphabet = try Alphabet(file.vocabulary, configuration)

        var plain = TokenTrie()
        var normalized = TokenTrie()
        var maximum = max(alphabet.maximumID, prefix.max() ?? 0)
        // A token that the vocabulary lacks gets the next free id there; ids in the file are a record of that.
        var nextID = Int32(clamping: file.vocabulary.count)
        for token in configuration.addedTokens {
            let known = file.vocabulary.id(of: token.content[...])
            let expected = known ?? nextID
            guard token.id == expected else {
                throw .inconsistent(
                    subject: "\(TokenizerFile.subject): added_tokens: \(String(decoding: token.content, as: UTF8.self).quoted)", expected: "the id \(expected)",
                    found: "\(token.id)")
            }
            if known == nil { nextID += 1 }
            maximum = max(maximum, token.id)
            if token.isNormalized {
                normalized.insert(normalization(token.content[...]), id: token.id)
            } else {
                plain.insert(token.content, id: token.id)
            }
        }
        plainTokens = plain
        normalizedTokens = normalized
        maximumID = maximum
    }

    /// Bytes that one takes of a text of so many: the text, read and copied, and the tables of pieces and merges that are made of it.
    static func byteCount(ofText bytes: Int) -> Int { 4 * bytes }

    /// The ids of a text, with those that the model wants before it (`<bos>`).
    ///
    /// Complexity: O(n log n) in the length of the text.
    package func encode(_ text: String) -> [Int32] {
        var ids = prefix
        for part in plainTokens.split(Array(text.utf8)[...]) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let text): appendNormalized(normalization(text), to: &ids)
            }
        }
        return ids
    }

    private func appendNormalized(_ text: [UInt8], to ids: inout [Int32]) {
        for part in normalizedTokens.split(text[...]) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let text): for word in words(text) { ids += merges.merged(alphabet.ids(of: word)) }
            }
        }
    }

    /// The parts that are encoded on their own: each ends after a space, if the file asks for that.
    func words(_ text: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        guard splitsAfterSpaces else { return [text] }
        var words: [ArraySlice<UInt8>] = []
        var start = text.startIndex
        for position in text.indices where text[position] == UInt8(ascii: " ") {
            words.append(text[start...position])
            start = position + 1
        }
        if start < text.endIndex { words.append(text[start...]) }
        return words
    }
}
