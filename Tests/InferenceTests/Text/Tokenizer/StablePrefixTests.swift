import StrictJSON
import TestKit
import Testing

@testable import Inference

/// What a text's tokens begin with whatever follows, against encoding the text with everything behind it.
struct StablePrefixTests {
    @Test("no prompt changes the tokens that are kept of the instruction", arguments: ["tiny-sprint", "mini", "odd"])
    func instruction(checkpoint: String) throws {
        let tokenizer = try GemmaTokenizer(FixtureFiles.bytes("\(checkpoint)/tokenizer/tokenizer.json"))
        let prefix = tokenizer.stablePrefix(of: SanaSprintInstruction.text)
        let alone = tokenizer.encode(SanaSprintInstruction.text)
        #expect(prefix == Array(alone.prefix(prefix.count)))
        // All but the last space, which the prompt's first letters take in.
        #expect(prefix.count == alone.count - 1)
        #expect(SanaSprintPrompt.sharedTokens(tokenizer) == prefix)
        let alphabet = Array("aeprt :-'\n▁<>日é0\u{2581}")
        var random = SplitMix64(seed: 3)
        var prompts = ["", "a", "▁", "▁▁", " a", "prompt:", "\n", "<bos>", "<0x41>", "日"]
        for _ in 0..<400 { prompts.append(String((0..<Int(random.next() % 6)).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] })) }
        for prompt in prompts { #expect(tokenizer.encode(SanaSprintInstruction.text + prompt).starts(with: prefix), "\(prompt)") }
    }

    struct Case: Sendable {
        let merges: [[String]]
        let pieces: [String]
        var added: [(String, Bool)] = []
        var splits = false
    }

    /// Merges that reach across the end from near and far, merges that could and are taken before, added tokens and words.
    static let cases = [
        Case(merges: [["a", "b"]], pieces: ["ab"]),
        Case(merges: [["a", "b"], ["ab", "c"]], pieces: ["ab", "abc"]),
        Case(merges: [["b", "c"], ["a", "bc"]], pieces: ["bc", "abc"]),
        Case(merges: [["a", "a"], ["aa", "aa"]], pieces: ["aa", "aaaa"]),
        Case(merges: [["a", "a"], ["aa", "a"]], pieces: ["aa", "aaa"]),
        Case(merges: [["c", "a"], ["a", "b"], ["b", "c"], ["ab", "c"]], pieces: ["ca", "ab", "bc", "abc"]),
        Case(merges: [], pieces: [], added: [("abc", false)]),
        Case(merges: [["b", "c"]], pieces: ["bc"], added: [("bca", true)]),
        Case(merges: [["a", " "], ["b", " "]], pieces: ["a ", "b "], splits: true),
    ]

    @Test("it is what all continuations have in common", arguments: cases.indices)
    func everyContinuation(index: Int) throws {
        let tokenizer = try Self.tokenizer(Self.cases[index])
        let continuations = Self.words(upTo: 4)
        for text in Self.words(upTo: 5) where !text.isEmpty {
            let prefix = tokenizer.stablePrefix(of: text)
            var common = tokenizer.encode(text)
            for more in continuations { common = Array(zip(common, tokenizer.encode(text + more)).prefix { $0 == $1 }.map(\.0)) }
            #expect(prefix == common, "\(text)")
        }
    }

    @Test("a text of which it cannot be told has none")
    func unknown() throws {
        var small = SmallTokenizer()
        let tokenizer = try GemmaTokenizer(small.json)
        #expect(tokenizer.stablePrefix(of: "az").isEmpty)
        small.file["normalizer"] = SmallTokenizer.replace("ab", "c")
        #expect(try GemmaTokenizer(small.json).stablePrefix(of: "ab").isEmpty)
    }

    private static func tokenizer(_ example: Case) throws -> GemmaTokenizer {
        let pieces = ["<bos>", "<unk>", "a", "b", "c", " "] + example.pieces
        var small = SmallTokenizer(pieces: pieces, merges: example.merges)
        small.file["added_tokens"] = .array(
            example.added.enumerated().map { SmallTokenizer.addedToken(pieces.count + $0, $1.0, normalized: $1.1) })
        if example.splits { small.file["pre_tokenizer"] = SmallTokenizer.split }
        return try GemmaTokenizer(small.json)
    }

    /// All words over a, b and c (and a space) of so many letters at most.
    private static func words(upTo count: Int) -> [String] {
        var words = [""]
        var longest = [""]
        for _ in 0..<count {
            longest = longest.flatMap { word in ["a", "b", "c", " "].map { word + $0 } }
            words += longest
        }
        return words.filter { !$0.contains("  ") }
    }
}
