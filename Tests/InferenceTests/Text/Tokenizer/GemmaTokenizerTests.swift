import Files
import StrictJSON
import TestKit
import Testing

@testable import Inference

struct GemmaTokenizerTests {
    private static let tinyPath = "tiny-sprint/tokenizer/tokenizer.json"

    /// Texts and the ids that Hugging Face's tokenizers 0.23 gives for them.
    private static func expectations(_ name: String) throws -> [(text: String, ids: [Int32])] {
        let json = try FixtureFiles.json(name)
        let texts = try #require(json["strings"]?.array).map { try #require($0.string) }
        let ids = try #require(json["ids"]?.array).map { try #require($0.array).map { Int32(try #require($0.integer)) } }
        try #require(texts.count == ids.count)
        return Array(zip(texts, ids))
    }

    private static func check(_ tokenizer: GemmaTokenizer, _ expectations: [(text: String, ids: [Int32])]) {
        for (text, ids) in expectations {
            let found = tokenizer.encode(text)
            if found != ids { Issue.record("\(text.prefix(80).debugDescription): expected \(ids.prefix(40)), found \(found.prefix(40))") }
        }
    }

    @Test("gives the ids of Hugging Face for tiny's vocabulary, captions and hostile texts alike")
    func tiny() throws {
        let expectations = try Self.expectations("tokenizer/tiny.json")
        #expect(expectations.count >= 2000)
        #expect(expectations.contains { $0.text.isEmpty } && expectations.contains { $0.text.unicodeScalars.count == 10_000 })
        let tokenizer = try GemmaTokenizer(FixtureFiles.bytes(Self.tinyPath))
        Self.check(tokenizer, expectations)
        #expect(tokenizer.maximumID == 1023)
    }

    @Test("gives the ids of Hugging Face for a vocabulary of Gemma's size")
    func synthetic() throws {
        let json = SyntheticVocabulary.json()
        let digest = try #require(try FixtureFiles.json("tokenizer/synthetic-256k.json")["sha256"]?.string)
        try #require(SHA256Stream.digest(json) == digest)
        let tokenizer = try GemmaTokenizer(json)
        Self.check(tokenizer, try Self.expectations("tokenizer/synthetic-256k.json"))
        #expect(tokenizer.maximumID == 255_999)
    }

    @Test("takes merges in the older form too, and members in any order")
    func otherSpellings() throws {
        let expectations = try Self.expectations("tokenizer/tiny.json")
        var file = try #require(FixtureFiles.json(Self.tinyPath).object)
        let model = try #require(file["model"]?.object)
        let merges = try #require(model["merges"]?.array).map { pair in
            // No piece holds a space, which is what made the older form possible.
            JSONValue.string(try #require(pair.array).map { try #require($0.string) }.joined(separator: " "))
        }
        let rest = model.members.filter { $0.key != "merges" }.map { ($0.key, $0.value) }
        file["model"] = .object(JSONObject([("merges", .array(merges))] + rest))
        Self.check(try GemmaTokenizer(Array(JSONValue.object(file).text.utf8)), expectations)
    }

    @Test("pieces and bytes of the ids spell the text")
    func spellsTheText() throws {
        let json = try FixtureFiles.bytes(Self.tinyPath)
        let vocabulary = try #require(JSONValue.parse(json)["model"]?["vocab"]?.object)
        var pieces: [Int32: [UInt8]] = [:]
        for (piece, id) in vocabulary.members { pieces[Int32(try #require(id.integer))] = Self.spelling(piece) }
        let tokenizer = try GemmaTokenizer(json)
        var random = SplitMix64(seed: 5)
        for _ in 0..<300 {
            let text = Self.randomText(using: &random)
            let ids = tokenizer.encode(text)
            #expect(ids.first == 2)
            let spelled = ids.dropFirst().flatMap { pieces[$0] ?? [] }
            #expect(Self.withSpaces(String(decoding: spelled, as: UTF8.self)) == Self.withSpaces(text))
        }
    }

    /// A byte for `<0x41>`, else the piece itself.
    private static func spelling(_ piece: String) -> [UInt8] {
        if piece.utf8.count == 6, piece.hasPrefix("<0x"), let byte = UInt8(piece.dropFirst(3).dropLast(), radix: 16) { return [byte] }
        return Array(piece.utf8)
    }

    /// "▁" stands for a space and for itself.
    private static func withSpaces(_ text: String) -> [Unicode.Scalar] { text.unicodeScalars.map { $0 == "▁" ? " " : $0 } }

    /// What random bytes hold once they are made UTF-8, with words of the grammar and special tokens between them.
    private static func randomText(using random: inout SplitMix64) -> String {
        (0..<Int.random(in: 0...30, using: &random)).map { _ in
            switch Int.random(in: 0..<4, using: &random) {
            case 0: ["red ", " circle", "background", "  ", "\n\n", "<bos>", "<0x41>", "▁▁"].randomElement(using: &random) ?? ""
            case 1: String(Unicode.Scalar(UInt8.random(in: 0 ... .max, using: &random)))
            default: String(decoding: (0..<4).map { _ in UInt8.random(in: 0 ... .max, using: &random) }, as: UTF8.self)
            }
        }.joined()
    }
}

/// Rules of the reference that Gemma's own file never shows. Ids are those of Hugging Face's tokenizers 0.23 for the same JSON.
struct GemmaTokenizerRuleTests {
    private func ids(_ text: String, _ tokenizer: SmallTokenizer) throws -> [Int32] {
        try GemmaTokenizer(tokenizer.json).encode(text)
    }

    @Test("unknown characters are one unknown piece, or one each")
    func unknown() throws {
        var tokenizer = SmallTokenizer()
        #expect(try ids("xyaxxb", tokenizer) == [0, 1, 2, 1, 3])
        tokenizer.model["fuse_unk"] = false
        #expect(try ids("xyaxxb", tokenizer) == [0, 1, 1, 2, 1, 1, 3])
    }

    @Test("with a piece for some bytes only, a waiting unknown piece comes after them")
    func someBytes() throws {
        var tokenizer = SmallTokenizer(pieces: ["<bos>", "<unk>", "a", "b", "<0x78>"])
        tokenizer.model["byte_fallback"] = true
        #expect(try ids("yxayxxb", tokenizer) == [0, 4, 1, 2, 4, 4, 1, 3])
    }

    @Test("a split after spaces keeps merges from crossing it")
    func split() throws {
        var tokenizer = SmallTokenizer(merges: [["a", " "], [" ", "a"]])
        tokenizer.file["pre_tokenizer"] = SmallTokenizer.split
        #expect(try ids(" a a  aa ", tokenizer) == [0, 5, 8, 8, 5, 2, 8])
        #expect(try ids(" a a  aa ", SmallTokenizer(merges: [[" ", "a"], ["a", " "]])) == [0, 11, 11, 5, 11, 8])
    }

    @Test("replacements run one after the other and may change lengths")
    func replacements() throws {
        var sequence = SmallTokenizer(merges: [["▁", "a"]])
        sequence.file["normalizer"] = ["type": "Sequence", "normalizers": [SmallTokenizer.replace(" ", "▁"), SmallTokenizer.replace("x", "a")]]
        #expect(try ids("x x b", sequence) == [0, 2, 10, 6, 3])
        var growing = SmallTokenizer(merges: [["a", "b"]])
        growing.file["normalizer"] = SmallTokenizer.replace("xx", "ab")
        #expect(try ids("xxx xxxx", growing) == [0, 7, 1, 5, 7, 7])
    }

    @Test("an added token is found in the text as given, or in the normalized one", arguments: [(true, [16]), (false, [2, 6, 3])] as [(Bool, [Int32])])
    func addedToken(normalized: Bool, tail: [Int32]) throws {
        var tokenizer = SmallTokenizer()
        tokenizer.file["normalizer"] = SmallTokenizer.replace(" ", "▁")
        tokenizer.file["added_tokens"] = [SmallTokenizer.addedToken(16, "a b", normalized: normalized)]
        #expect(try ids("aa bb a▁b", tokenizer) == [0, 2, 16, 3, 6] + tail)
    }

    @Test("of added tokens the leftmost is taken, then the longest")
    func leftmostLongest() throws {
        var tokenizer = SmallTokenizer()
        tokenizer.file["added_tokens"] = .array([(7, "ab"), (14, "abc"), (15, "bc")].map { SmallTokenizer.addedToken($0, $1, normalized: false) })
        #expect(try ids("abcbcaabx", tokenizer) == [0, 14, 15, 2, 7, 1])
    }

    @Test("merges go by rank, then from the left; of two for one pair the later counts")
    func mergeOrder() throws {
        #expect(try ids("aaaaab", SmallTokenizer(merges: [["a", "a"], ["aa", "a"], ["a", "b"]])) == [0, 12, 13, 3])
        #expect(try ids("abc", SmallTokenizer(merges: [["a", "b"], ["b", "c"], ["ab", "c"], ["a", "b"]])) == [0, 2, 15])
        #expect(try ids("abcab", SmallTokenizer(merges: [["b", "c"], ["a", "b"], ["a", "bc"]])) == [0, 14, 7])
    }

    @Test("pieces that Swift's strings hold equal are different pieces")
    func canonicalEquivalence() throws {
        let tokenizer = SmallTokenizer(pieces: ["<bos>", "<unk>", "\u{E9}", "e", "\u{301}", "e\u{301}"], merges: [["e", "\u{301}"]])
        #expect(try ids("\u{E9}e\u{301}", tokenizer) == [0, 2, 5])
    }
}
