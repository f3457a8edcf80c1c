import StrictJSON
import TestKit
import Testing

@testable import Inference

/// What a `tokenizer.json` may not hold: each case is an error that names the member.
struct TokenizerFileTests {
    private static func message(_ json: [UInt8]) -> String? {
        do {
            _ = try GemmaTokenizer(json)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test(
        "features of other tokenizers are refused by name, with what is supported",
        arguments: [
            ("version", "2.0", "\"1.0\""),
            ("normalizer", ["type": "NFKC"], "\"Replace\""),
            ("normalizer", ["type": "Sequence", "normalizers": [["type": "Lowercase"]]], "\"Replace\""),
            ("normalizer", ["type": "Replace", "pattern": ["Regex": " +"], "content": "▁"], "{\"String\": text}"),
            ("pre_tokenizer", ["type": "ByteLevel"], "\"Split\""),
            ("pre_tokenizer", ["type": "Split", "pattern": ["String": "-"], "behavior": "MergedWithPrevious", "invert": false], "{\"String\":\" \"}"),
            ("pre_tokenizer", ["type": "Split", "pattern": ["String": " "], "behavior": "Isolated", "invert": false], "\"MergedWithPrevious\""),
            ("post_processor", .null, "<bos>"),
            ("post_processor", ["type": "ByteLevel"], "\"TemplateProcessing\""),
            ("language", "en", "added_tokens"),
        ] as [(String, JSONValue, String)])
    func unsupported(key: String, value: JSONValue, supported: String) throws {
        var tokenizer = SmallTokenizer()
        tokenizer.file[key] = value
        let message = try #require(Self.message(tokenizer.json))
        #expect(message.contains(key) && message.contains("supported") && message.contains(supported), "\(message)")
    }

    @Test(
        "features of other models are refused by name",
        arguments: [
            ("type", "Unigram"), ("dropout", .number(0.1)), ("continuing_subword_prefix", "##"), ("end_of_word_suffix", "</w>"), ("ignore_merges", true),
            ("max_input_chars_per_word", 100),
        ] as [(String, JSONValue)])
    func unsupportedModel(key: String, value: JSONValue) throws {
        var tokenizer = SmallTokenizer()
        tokenizer.model[key] = value
        let message = try #require(Self.message(tokenizer.json))
        #expect(message.contains("tokenizer.json: model") && message.contains(key), "\(message)")
    }

    @Test("flags of added tokens that would change what they match are refused", arguments: ["single_word", "lstrip", "rstrip"])
    func addedTokenFlags(flag: String) throws {
        var token = try #require(SmallTokenizer.addedToken(2, "a", normalized: false).object)
        token[flag] = true
        var tokenizer = SmallTokenizer()
        tokenizer.file["added_tokens"] = [.object(token)]
        #expect(try #require(Self.message(tokenizer.json)).contains("added_tokens[0]: \(flag)"))
    }

    @Test("a template with a token behind the text is refused, and one with an unknown token")
    func templates() throws {
        let bos: JSONValue = ["SpecialToken": ["id": "<bos>", "type_id": 0]]
        let text: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]
        for single in [[bos, text, bos], [text], [bos], [["SpecialToken": ["id": "<s>", "type_id": 0]], text]] as [[JSONValue]] {
            var tokenizer = SmallTokenizer()
            tokenizer.file["post_processor"] = [
                "type": "TemplateProcessing", "single": .array(single), "special_tokens": ["<bos>": ["id": "<bos>", "ids": [0], "tokens": ["<bos>"]]],
            ]
            #expect(Self.message(tokenizer.json) != nil, "\(single)")
        }
    }

    @Test(
        "contradictions are found: ids of added tokens, merges of unknown pieces, ids out of range",
        arguments: [
            (#""added_tokens":[]"#, #""added_tokens":[{"id":3,"content":"a"}]"#, "expected the id 2, found 3"),
            (#""added_tokens":[]"#, #""added_tokens":[{"id":17,"content":"new"}]"#, "expected the id 16, found 17"),
            (#""added_tokens":[]"#, #""added_tokens":[{"id":0,"content":""}]"#, "content"),
            (#""merges":[]"#, #""merges":[["a","x"]]"#, #"["a","x"]"#),
            (#""merges":[]"#, #""merges":[["c","b"]]"#, #"["c","b"]"#),
            (#""merges":[]"#, #""merges":[["a","b","c"]]"#, "expected two pieces, found 3"),
            (#""merges":[]"#, #""merges":["ab"]"#, "expected two pieces, found 1"),
            (#""merges":[]"#, #""merges":[],"merges":[]"#, "twice"),
            (#","merges":[]"#, "", "model: merges"),
            (#""a":2"#, #""a":-2"#, "an id from 0"),
            (#""a":2"#, #""a":2147483648"#, "an id from 0"),
            (#""a":2"#, #""a":2.5"#, "an id from 0"),
            (#""a":2"#, #""a":2,"a":2"#, "twice"),
            (#""unk_token":"<unk>""#, #""unk_token":"<none>""#, "unk_token"),
            (#""unk_token":"<unk>""#, #""unk_token":null"#, "unk_token"),
            (#""unk_token":"<unk>""#, #""unk_token":7"#, "a string"),
            (#""fuse_unk":true"#, #""fuse_unk":1"#, "true or false"),
        ])
    func contradictions(old: String, new: String, message: String) throws {
        let json = String(decoding: SmallTokenizer().json, as: UTF8.self)
        let changed = json.replacing(old, with: new, maxReplacements: 1)
        try #require(changed != json)
        let found = try #require(Self.message(Array(changed.utf8)))
        #expect(found.contains(message), "\(found)")
    }

    @Test("a file that is too large, empty, cut or no tokenizer at all is an error")
    func noFile() throws {
        #expect(throws: InferenceError.inconsistent(subject: "tokenizer.json", expected: "at most \(64 << 20) bytes", found: "\((64 << 20) + 1)")) {
            try GemmaTokenizer([UInt8](repeating: 0x20, count: (64 << 20) + 1))
        }
        for text in ["", "{}", "[]", "null", #"{"model":{}}"#, #"{"model":{"vocab":{}}}"#, #"{"model":[]}"#] {
            #expect(Self.message(Array(text.utf8)) != nil, "\(text)")
        }
        let json = SmallTokenizer(merges: [["a", "b"]]).json
        #expect(Self.message(json) == nil)
        for count in 0..<json.count { #expect(Self.message(Array(json.prefix(count))) != nil) }
    }

    @Test("damaged files give an error or a tokenizer that works")
    func damaged() throws {
        let json = SmallTokenizer(merges: [["a", "b"], ["b", "c"]]).json
        var random = SplitMix64(seed: 11)
        var accepted = 0
        for _ in 0..<1500 {
            var damaged = json
            damaged[Int.random(in: damaged.indices, using: &random)] = UInt8.random(in: 0 ... .max, using: &random)
            guard let tokenizer = try? GemmaTokenizer(damaged) else { continue }
            accepted += 1
            #expect(!tokenizer.encode("abc abx <bos>").isEmpty)
        }
        #expect((1..<1500).contains(accepted))
    }
}
