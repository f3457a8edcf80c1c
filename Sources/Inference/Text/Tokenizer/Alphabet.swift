/// The first step of byte-pair encoding: every character becomes its own piece, or the pieces of its bytes, or the unknown piece.
///
/// Source: Hugging Face tokenizers, models/bpe/model.rs (`merge_word`).
struct Alphabet: Sendable {
    /// The largest id of the vocabulary.
    let maximumID: Int32
    /// Ids of the characters that are pieces, by their UTF-8 bytes in one word.
    private let characters: [UInt32: Int32]
    /// Ids of `<0x00>` to `<0xFF>`, empty without byte fallback.
    private let bytes: [Int32?]
    private let unknown: Int32?
    private let fusesUnknown: Bool

    init(_ vocabulary: PieceTable, _ configuration: TokenizerConfiguration) throws(InferenceError) {
        var characters: [UInt32: Int32] = [:]
        var maximum: Int32 = 0
        vocabulary.forEach { piece, id in
            maximum = max(maximum, id)
            if let first = piece.first, piece.count == Self.length(first) { characters[Self.word(piece)] = id }
        }
        self.characters = characters
        maximumID = maximum
        bytes = configuration.fallsBackToBytes ? (0...255).map { vocabulary.id(of: Self.pieceOfByte($0)[...]) } : []
        unknown = configuration.unknownPiece.flatMap { vocabulary.id(of: Array($0.utf8)[...]) }
        fusesUnknown = configuration.fusesUnknown
        // The reference drops a character that has neither a piece nor bytes nor an unknown piece; nobody wants a prompt with holes.
        guard unknown != nil || (!bytes.isEmpty && bytes.allSatisfy { $0 != nil }) else {
            throw .unsupported(
                subject: "\(TokenizerFile.subject): model", found: "a vocabulary with neither its unk_token nor a piece for every byte",
                supported: "byte_fallback with <0x00> to <0xFF>, or an unk_token that is in the vocabulary")
        }
    }

    /// The ids of a text, nothing merged.
    func ids(of text: ArraySlice<UInt8>) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(text.count)
        // An unknown character waits until it is known whether the next one is unknown too.
        var pending: Int32?
        var position = text.startIndex
        while position < text.endIndex {
            let end = position + Self.length(text[position])
            let character = text[position..<end]
            position = end
            if let id = characters[Self.word(character)] {
                if let unknown = pending { ids.append(unknown) }
                pending = nil
                ids.append(id)
            } else if !bytes.isEmpty, character.allSatisfy({ bytes[Int($0)] != nil }) {
                // As in the reference, a waiting unknown piece stays behind these.
                ids += character.compactMap { bytes[Int($0)] }
            } else {
                if !fusesUnknown, let unknown = pending { ids.append(unknown) }
                pending = unknown
            }
        }
        if let unknown = pending { ids.append(unknown) }
        return ids
    }

    /// Whether every character of a text is a piece.
    func hasPieces(for text: ArraySlice<UInt8>) -> Bool {
        var position = text.startIndex
        while position < text.endIndex {
            let end = position + Self.length(text[position])
            guard characters[Self.word(text[position..<end])] != nil else { return false }
            position = end
        }
        return true
    }

    /// How many bytes a character has, by its first one.
    private static func length(_ first: UInt8) -> Int {
        switch first {
        case 0..<0xC0: 1
        case 0xC0..<0xE0: 2
        case 0xE0..<0xF0: 3
        default: 4
        }
    }

    private static func word(_ character: ArraySlice<UInt8>) -> UInt32 {
        character.reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static func pieceOfByte(_ byte: Int) -> [UInt8] {
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)
    }
}
