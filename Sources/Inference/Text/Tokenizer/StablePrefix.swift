/// The tokens that a text begins with whatever is written behind it.
///
/// Byte-pair encoding may merge across the end of the text: then it is one token that does so, and what stands before the place where it begins is
/// encoded as if the text ended there, since no merge has crossed that place. Else the text's tokens are those of the text alone. So the first
/// tokens are safe that these and all encodings of the text up to such a place have in common. Such places are found in the vocabulary: those from
/// which on the text is the beginning of a longer piece, unless encoding that very piece behind the text before it shows that it does not come about.
extension GemmaTokenizer {
    /// The longest run of tokens that every text beginning with `text` begins with, with those the model wants before it.
    ///
    /// Empty where this cannot be told: normalization that looks at more than one character, or characters that have no piece.
    func stablePrefix(of text: String) -> [Int32] {
        let raw = Array(text.utf8)
        guard normalization.isByCharacter, let tail = lastWord(of: raw) else { return [] }
        var common = tail.before + merges.merged(alphabet.ids(of: tail.word[...]))
        func keep(_ ids: [Int32]) { common = Array(zip(common, ids).prefix { $0 == $1 }.map(\.0)) }
        for (start, pieces) in piecesBeyondTheEnd(of: tail.word) {
            let head = merges.merged(alphabet.ids(of: tail.word[..<start]))
            guard pieces.contains(where: { comesAbout($0, $1, from: start, of: tail.word, after: head) }) else { continue }
            keep(tail.before + head)
        }
        // Added tokens are cut out before anything is merged.
        for start in raw.indices where raw[start] & 0xC0 != 0x80 {
            let rest = raw[start...]
            guard plainTokens.hasLonger(than: rest) || normalizedTokens.hasLonger(than: normalization(rest)[...]) else { continue }
            keep(encode(String(decoding: raw[..<start], as: UTF8.self)))
        }
        return common
    }

    /// What stands before the last word of a text, as tokens, and that word, in which merges may go on; nil where it has characters without a piece.
    private func lastWord(of raw: [UInt8]) -> (before: [Int32], word: [UInt8])? {
        var before = prefix
        var word: [UInt8] = []
        func close() {
            before += merges.merged(alphabet.ids(of: word[...]))
            word = []
        }
        for part in plainTokens.split(raw[...]) {
            guard case .text(let text) = part else {
                if case .token(let id) = part { close(); before.append(id) }
                continue
            }
            for part in normalizedTokens.split(normalization(text)[...]) {
                close()
                guard case .text(let text) = part else {
                    if case .token(let id) = part { before.append(id) }
                    continue
                }
                for next in words(text) {
                    close()
                    word = Array(next)
                }
            }
        }
        if splitsAfterSpaces, word.last == UInt8(ascii: " ") { close() }
        return alphabet.hasPieces(for: word[...]) ? (before, word) : nil
    }

    private typealias Piece = (bytes: ArraySlice<UInt8>, id: Int32)

    /// The places in a word from which on it is the beginning of longer pieces, with these pieces.
    private func piecesBeyondTheEnd(of word: [UInt8]) -> [Int: [Piece]] {
        var places: [Int: [Piece]] = [:]
        vocabulary.forEach { piece, id in
            for count in stride(from: 1, through: min(piece.count - 1, word.count), by: 1) where piece.prefix(count) == word.suffix(count) {
                places[word.count - count, default: []].append((piece, id))
            }
        }
        return places.filter { word[$0.key] & 0xC0 != 0x80 }
    }

    /// Whether a piece that begins at `start` and goes beyond the end of `word` is what encoding gives there.
    private func comesAbout(_ piece: ArraySlice<UInt8>, _ id: Int32, from start: Int, of word: [UInt8], after head: [Int32]) -> Bool {
        // Pieces of bytes are not spelled as they are read: what they would come about from is not tried.
        if piece.dropFirst(word.count - start).contains(UInt8(ascii: "<")) { return true }
        return merges.merged(alphabet.ids(of: (word[..<start] + piece)[...])) == head + [id]
    }
}
