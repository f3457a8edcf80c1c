package import StrictJSON

/// Builds a `tokenizer.json` of a few pieces, to be changed by one member at a time.
package struct SmallTokenizer {
    package var file: JSONObject
    package var model: JSONObject

    package init(
        pieces: [String] = ["<bos>", "<unk>", "a", "b", "c", " ", "▁", "ab", "a ", "b ", "▁a", " a", "aa", "aaa", "abc", "bc"], merges: [[String]] = []
    ) {
        file = JSONObject([
            ("version", "1.0"), ("truncation", .null), ("padding", .null), ("added_tokens", []), ("normalizer", .null), ("pre_tokenizer", .null),
            (
                "post_processor",
                [
                    "type": "TemplateProcessing",
                    "single": [["SpecialToken": ["id": "<bos>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
                    "pair": [], "special_tokens": ["<bos>": ["id": "<bos>", "ids": [0], "tokens": ["<bos>"]]],
                ]
            ),
            ("decoder", .null),
        ])
        model = JSONObject([
            ("type", "BPE"), ("dropout", .null), ("unk_token", "<unk>"), ("continuing_subword_prefix", .null), ("end_of_word_suffix", .null),
            ("fuse_unk", true), ("byte_fallback", false), ("ignore_merges", false),
            ("vocab", .object(JSONObject(pieces.enumerated().map { ($1, JSONValue($0)) }))),
            ("merges", .array(merges.map { .array($0.map { .string($0) }) })),
        ])
    }

    package var json: [UInt8] {
        var file = file
        file["model"] = .object(model)
        return Array(JSONValue.object(file).text.utf8)
    }

    package static func addedToken(_ id: Int, _ content: String, normalized: Bool) -> JSONValue {
        [
            "id": JSONValue(id), "content": .string(content), "single_word": false, "lstrip": false, "rstrip": false, "normalized": .bool(normalized),
            "special": false,
        ]
    }

    package static func replace(_ pattern: String, _ content: String) -> JSONValue {
        ["type": "Replace", "pattern": ["String": .string(pattern)], "content": .string(content)]
    }

    package static let split: JSONValue = ["type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious", "invert": false]
}
