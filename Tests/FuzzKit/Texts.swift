import Checkpoints
import Conversion
import Inference
import Quality
import StrictJSON
import TestKit

/// Parsers of text.
extension ParserUnderFuzz {
    static let texts = [
        ParserUnderFuzz(name: "json", seeds: { try configurations() + [Array(#"[1e3,-0.5,"\u00e9\ud83d\ude00",null,{"":[]}]"#.utf8)] }) { input in
            let value = try JSONValue.parse(input)
            let text = value.canonicalText
            try Unsound.unless(try JSONValue.parse(text).canonicalText == text, "canonical text that reads otherwise")
        },
        ParserUnderFuzz(name: "index", seeds: { [Array(#"{"metadata":{"total_size":8},"weight_map":{"a":"x-1.safetensors","b":"x-2.safetensors"}}"#.utf8)] }) {
            let file = try InMemoryFile($0)
            _ = try ShardIndex(path: file.path)
        },
        ParserUnderFuzz(name: "configuration", seeds: configurations) { input in
            guard case .object(let object) = try JSONValue.parse(input) else { return }
            _ = try SanaSprintConfiguration(Dictionary(object.members.map { ($0.key, $0.value) }) { first, _ in first })
        },
        ParserUnderFuzz(name: "tokenizer", seeds: { smallTokenizers }) {
            let tokenizer = try GemmaTokenizer($0)
            for text in ["a large red circle", "\u{E9}\u{1F600}  x\n", ""] {
                let ids = SanaSprintPrompt(text, tokenizer: tokenizer, withInstruction: false).ids
                try Unsound.unless(ids.allSatisfy { $0 >= 0 }, "a token below zero")
            }
        },
        ParserUnderFuzz(name: "prompt", seeds: { [Array("A Large RED circle, <b>https://x.y</b>  \u{E9}\u{130}\u{1F600}\n".utf8)] }) { input in
            let prompt = SanaSprintPrompt(String(decoding: input, as: UTF8.self), tokenizer: try tinyTokenizer.get(), withInstruction: false)
            try Unsound.unless(prompt.ids.count <= 1024 && prompt.keptPositions.allSatisfy(prompt.ids.indices.contains), "a position outside the prompt")
        },
        ParserUnderFuzz(
            name: "rules", seeds: { [Array("# a comment\ntransformer.blocks.*.attn*.weight bf16\n*.weight int8-per-channel int8-per-token\n".utf8)] }
        ) {
            _ = try RuleFile($0)
        },
        ParserUnderFuzz(name: "quality", seeds: { [Array(qualityRecord.utf8)] }) { input in
            let quality = try Quality(try JSONValue.parse(input))
            _ = quality.attachment
        },
    ]

    private static let smallTokenizers: [[UInt8]] = {
        var second = SmallTokenizer(merges: [["a", "b"], ["ab", "c"], ["\u{2581}", "a"]])
        second.file["added_tokens"] = [SmallTokenizer.addedToken(14, "abc", normalized: true)]
        second.file["normalizer"] = SmallTokenizer.replace(" ", "\u{2581}")
        second.file["pre_tokenizer"] = SmallTokenizer.split
        return [SmallTokenizer().json, second.json]
    }()

    private static let qualityRecord = #"""
        {"contentHash":"00ff","features":[40.5,null],"layers":[{"gain":2.5,"judgedBy":"velocity","name":"dit.blocks.00.ff.out.weight"}],
        "pictures":[{"draw":0,"psnr":{"file":31,"sixteen":null},"ssim":{"file":0.75,"sixteen":1},"steps":2}],"prompts":2,"side":8,"tool":"tests",
        "velocities":[{"draw":0,"sqnr":{"file":21.5,"sixteen":55},"time":1.0}],"version":1,"word":"poor"}
        """#

    private static let tinyTokenizer = Result { try GemmaTokenizer(try InMemoryFile.fixture(Fixtures.path("tiny-sprint/tokenizer/tokenizer.json"))) }

    /// The configuration files of a checkpoint in one object, by their folders.
    @Sendable private static func configurations() throws -> [[UInt8]] {
        try ["tiny-sprint", "mini", "odd"].map { checkpoint in
            var object = JSONObject()
            for (folder, file) in [("transformer", "config"), ("vae", "config"), ("text_encoder", "config"), ("scheduler", "scheduler_config")] {
                object[folder] = try JSONValue.parse(try InMemoryFile.fixture(Fixtures.path("\(checkpoint)/\(folder)/\(file).json")))
            }
            return JSONValue.object(object).canonicalText
        }
    }
}
