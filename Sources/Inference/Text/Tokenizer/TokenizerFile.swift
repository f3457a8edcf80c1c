import StrictJSON

/// The content of a `tokenizer.json`, read but not yet interpreted.
///
/// The vocabulary and the merges, which are all but a few kilobytes of the file, go straight into their tables.
struct TokenizerFile {
    static let subject = "tokenizer.json"
    /// Gemma's has 17 to 34 MB, depending on how it is written.
    private static let maximumByteCount = 64 << 20
    /// Of everything but vocabulary and merges; a few thousand in Gemma's.
    private static let maximumValues = 1_000_000

    /// The members but `model`.
    private(set) var members = JSONObject()
    /// The members of `model` but `vocab` and `merges`.
    private(set) var model = JSONObject()
    private(set) var vocabulary = PieceTable()
    private(set) var merges = PairMerges()

    init(_ json: [UInt8]) throws(InferenceError) {
        guard json.count <= Self.maximumByteCount else {
            throw .inconsistent(subject: Self.subject, expected: "at most \(Self.maximumByteCount) bytes", found: "\(json.count)")
        }
        do throws(JSONError) { try read(json) } catch { throw .unreadable(name: Self.subject, reason: "\(error)") }
    }

    private mutating func read(_ json: [UInt8]) throws(JSONError) {
        var file = self
        var vocabularyOffset: Int?
        var mergesScanner: JSONScanner?
        var scanner = JSONScanner(json, maximumValues: Self.maximumValues)
        try scanner.object { (scanner, key, offset) throws(JSONError) in
            guard key.elementsEqual("model".utf8) else { return try Self.append(key, offset, &scanner, to: &file.members) }
            try scanner.object { (scanner, key, offset) throws(JSONError) in
                if key.elementsEqual("vocab".utf8) {
                    guard vocabularyOffset == nil else { throw .duplicateKey("vocab", offset: offset) }
                    vocabularyOffset = offset
                    try file.readVocabulary(&scanner)
                } else if key.elementsEqual("merges".utf8) {
                    guard mergesScanner == nil else { throw .duplicateKey("merges", offset: offset) }
                    // Merges are made of pieces, and the vocabulary may come after them: they are read in a second go.
                    mergesScanner = scanner
                    try scanner.skip()
                } else {
                    try Self.append(key, offset, &scanner, to: &file.model)
                }
            }
        }
        try scanner.end()
        guard vocabularyOffset != nil else { throw .field(subject: "model: vocab", expected: "an object of pieces and ids", found: "nothing") }
        guard var mergesScanner else { throw .field(subject: "model: merges", expected: "an array of pairs", found: "nothing") }
        try file.readMerges(&mergesScanner)
        self = file
    }

    private static func append(
        _ key: ArraySlice<UInt8>, _ offset: Int, _ scanner: inout JSONScanner, to object: inout JSONObject
    ) throws(JSONError) {
        let key = String(decoding: key, as: UTF8.self)
        guard object.append(key, try scanner.value()) else { throw .duplicateKey(key, offset: offset) }
    }

    private mutating func readVocabulary(_ scanner: inout JSONScanner) throws(JSONError) {
        var table = PieceTable()
        try scanner.object { (scanner, piece, offset) throws(JSONError) in
            guard case .integer(let value) = try scanner.number(), let id = Int32(exactly: value), id >= 0 else {
                throw .field(subject: "model: vocab: byte \(offset)", expected: "an id from 0 to \(Int32.max)", found: "another number")
            }
            guard table.insert(piece, id: id) else { throw .duplicateKey(String(decoding: piece, as: UTF8.self), offset: offset) }
        }
        vocabulary = table
    }

    /// Reads merges as pairs, `["a", "b"]`, or in the older form, `"a b"`.
    private mutating func readMerges(_ scanner: inout JSONScanner) throws(JSONError) {
        let vocabulary = vocabulary
        var result = PairMerges(expectedCount: 2 * vocabulary.count)
        var scratch: [UInt8] = []
        try scanner.array { (scanner) throws(JSONError) in
            let offset = scanner.position
            let (left, right) = try Self.readPair(&scanner)
            scratch.removeAll(keepingCapacity: true)
            scratch.append(contentsOf: left)
            scratch.append(contentsOf: right)
            guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right), let product = vocabulary.id(of: scratch[...]) else {
                throw .field(
                    subject: "model: merges: byte \(offset)", expected: "two pieces of the vocabulary whose concatenation is one too",
                    found: JSONValue.array([.string(String(decoding: left, as: UTF8.self)), .string(String(decoding: right, as: UTF8.self))]).text)
            }
            result.append(leftID, rightID, into: product)
        }
        merges = result
    }

    private static func readPair(_ scanner: inout JSONScanner) throws(JSONError) -> (ArraySlice<UInt8>, ArraySlice<UInt8>) {
        let offset = scanner.position
        var parts: [ArraySlice<UInt8>] = []
        if scanner.first == UInt8(ascii: "[") {
            try scanner.array { (scanner) throws(JSONError) in parts.append(try scanner.utf8()) }
        } else {
            parts = try scanner.utf8().split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        }
        guard parts.count == 2 else {
            throw .field(subject: "model: merges: byte \(offset)", expected: "two pieces", found: "\(parts.count)")
        }
        return (parts[0], parts[1])
    }
}
