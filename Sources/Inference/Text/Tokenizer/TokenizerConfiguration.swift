import StrictJSON

/// What a `tokenizer.json` says beside its vocabulary and merges, checked: whatever this runtime would do otherwise than Hugging Face's
/// tokenizers is an error here.
struct TokenizerConfiguration {
    struct AddedToken {
        let id: Int32
        let content: [UInt8]
        /// Looked for in the normalized text, and itself normalized; else in the text as it was given.
        let isNormalized: Bool
    }

    let normalization: Normalization
    /// Whether the normalized text is cut after every space. Without effect where the normalization leaves no space, as Gemma's.
    let splitsAfterSpaces: Bool
    let addedTokens: [AddedToken]
    /// Ids that come before those of the text: `<bos>`.
    let prefix: [Int32]
    let unknownPiece: String?
    let fusesUnknown: Bool
    let fallsBackToBytes: Bool

    init(members: JSONObject, model: JSONObject) throws(InferenceError) {
        let file = TokenizerSection(members, TokenizerFile.subject)
        // Truncation and padding are the pipeline's business, and the decoder works from ids to text.
        try file.allowOnly(
            ["version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"])
        try file.require("version", among: [nil, "1.0"])
        normalization = try Self.normalization(file)
        splitsAfterSpaces = try Self.splitsAfterSpaces(file)
        prefix = try Self.prefix(file)
        addedTokens = try file.sections("added_tokens").map { (token) throws(InferenceError) in try Self.addedToken(token) }

        let model = TokenizerSection(model, "\(TokenizerFile.subject): model")
        try model.allowOnly([
            "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
        ])
        try model.require("type", among: [nil, "BPE"])
        try model.require("dropout", among: [nil, 0])
        try model.require("continuing_subword_prefix", among: [nil, ""])
        try model.require("end_of_word_suffix", among: [nil, ""])
        try model.require("ignore_merges", among: [nil, false])
        unknownPiece = try model.optionalString("unk_token")
        fusesUnknown = try model.bool("fuse_unk", default: false)
        fallsBackToBytes = try model.bool("byte_fallback", default: false)
    }

    private static func normalization(_ file: TokenizerSection) throws(InferenceError) -> Normalization {
        guard let normalizer = try file.section("normalizer") else { return Normalization() }
        var steps = [normalizer]
        if normalizer["type"] == "Sequence" {
            try normalizer.allowOnly(["type", "normalizers"])
            steps = try normalizer.sections("normalizers")
        }
        var replacements: [Normalization.Replacement] = []
        for step in steps {
            try step.require("type", among: ["Replace"])
            try step.allowOnly(["type", "pattern", "content"])
            replacements.append(.init(pattern: Array(try step.pattern().utf8), content: Array(try step.string("content").utf8)))
        }
        return Normalization(replacements: replacements)
    }

    private static func splitsAfterSpaces(_ file: TokenizerSection) throws(InferenceError) -> Bool {
        guard let split = try file.section("pre_tokenizer") else { return false }
        try split.require("type", among: ["Split"])
        try split.allowOnly(["type", "pattern", "behavior", "invert"])
        try split.require("behavior", among: ["MergedWithPrevious"])
        try split.require("invert", among: [nil, false])
        try split.require("pattern", among: [["String": " "]])
        return true
    }

    /// The special tokens that a TemplateProcessing puts before the text; nothing may follow it.
    private static func prefix(_ file: TokenizerSection) throws(InferenceError) -> [Int32] {
        guard let template = try file.section("post_processor") else {
            throw .unsupported(subject: "\(file.subject): post_processor", found: "null", supported: "a TemplateProcessing that puts <bos> before the text")
        }
        try template.require("type", among: ["TemplateProcessing"])
        try template.allowOnly(["type", "single", "pair", "special_tokens"])
        guard let tokens = try template.section("special_tokens") else { throw template.wrong("special_tokens", "an object") }
        var prefix: [Int32] = []
        var hasText = false
        for item in try template.sections("single") {
            guard !hasText else {
                throw .unsupported(subject: item.subject, found: item.text, supported: "special tokens before the text, none after it")
            }
            if let special = try item.section("SpecialToken") {
                let name = try special.string("id")
                guard let token = try tokens.section(name) else { throw tokens.wrong(name, "the ids of the special token \(name)") }
                prefix += try token.ids("ids")
            } else {
                try item.require("Sequence", among: [["id": "A", "type_id": 0]])
                hasText = true
            }
        }
        guard hasText, !prefix.isEmpty else { throw template.wrong("single", "a special token (<bos>) and the sequence A") }
        return prefix
    }

    private static func addedToken(_ token: TokenizerSection) throws(InferenceError) -> AddedToken {
        try token.allowOnly(["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"])
        for flag in ["single_word", "lstrip", "rstrip"] { try token.require(flag, among: [nil, false]) }
        let content = try token.string("content")
        guard !content.isEmpty else { throw token.wrong("content", "at least one character") }
        return AddedToken(id: try token.id("id"), content: Array(content.utf8), isNormalized: try token.bool("normalized", default: true))
    }
}
