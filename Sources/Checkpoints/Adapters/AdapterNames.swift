import Tensors

/// What the names of an adapter's tensors say, in the words of PEFT, diffusers, kohya and OneTrainer.
enum AdapterNames {
    /// A part of what an adapter adds to one module.
    enum Part: Sendable, Hashable {
        /// A: `[rank, inputs]`, of a convolution `[rank, inputs, k, k]`.
        case down
        /// B: `[outputs, rank]`, of a convolution with two extents of 1 more.
        case up
        /// What is added to the module's bias.
        case upBias
        case alpha
        /// DoRA of PEFT: one element for each output.
        case magnitude
        /// DoRA of kohya and OneTrainer: the same as `[outputs, 1]`, or by column as `[1, inputs]`.
        case doraScale
    }

    enum Meaning: Sendable, Equatable {
        case part(Part, module: String)
        /// Of a kind that is not supported.
        case other(kind: String)
    }

    /// Nil for a name that is no adapter's.
    static func meaning(of name: String) -> Meaning? {
        let words = name.split(separator: ".", omittingEmptySubsequences: false)
        if words.first == "bundle_emb" { return .other(kind: "an embedding of a new word (bundle_emb)") }
        for word in words.dropFirst() {
            if let kind = kinds.first(where: { word == $0.word || $0.isPrefix && word.hasPrefix($0.word) }) { return .other(kind: kind.name) }
        }
        // PEFT may keep the adapter's own name: "lora_A.default.weight".
        for (word, part) in [("lora_A", Part.down), ("lora_B", .up), ("lora_magnitude_vector", .magnitude)] {
            guard let index = words.lastIndex(where: { $0 == word }), index > 0 else { continue }
            let module = words[..<index].joined(separator: ".")
            let rest = words[(index + 1)...]
            switch (rest.last, rest.count, part) {
            case ("weight", 1...2, _), (nil, _, .magnitude), (_, 1, .magnitude): return .part(part, module: module)
            case ("bias", 1...2, .up): return .part(.upBias, module: module)
            default: return nil
            }
        }
        for (suffix, part) in suffixes where name.hasSuffix(suffix) && name.utf8.count > suffix.utf8.count {
            return .part(part, module: String(name.dropLast(suffix.count)))
        }
        return nil
    }

    private static let suffixes: [(String, Part)] = [
        (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora.down.weight", .down), (".lora.up.weight", .up), ("_lora.down.weight", .down),
        ("_lora.up.weight", .up), (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up), (".alpha", .alpha),
        (".dora_scale", .doraScale),
    ]

    private static let kinds: [(word: String, isPrefix: Bool, name: String)] = [
        ("hada_", true, "LoHa"), ("lokr_", true, "LoKr"), ("oft_", true, "OFT"), ("boft_", true, "BOFT"), ("ia3_", true, "IA3"), ("on_input", false, "IA3"),
        ("lora_mid", false, "a LoRA with a core in the middle (lora_mid)"), ("lora_embedding_", true, "a LoRA of an embedding"),
        ("lora_E", false, "AdaLoRA"), ("ranknum", false, "AdaLoRA"), ("vera_", true, "VeRA"), ("diff", false, "a full difference (diff)"),
        ("diff_b", false, "a full difference (diff_b)"), ("w_norm", false, "a change of norms (w_norm)"), ("b_norm", false, "a change of norms (b_norm)"),
        ("fourierft_", true, "FourierFT"), ("bone_", true, "Bone"), ("miss_", true, "MiSS"), ("hra_", true, "HRA"), ("shira_", true, "SHiRA"),
        ("c3a_", true, "C3A"), ("randlora_", true, "RandLoRA"), ("road_", true, "RoAd"), ("delora_", true, "DeLoRA"), ("waveft_", true, "WaveFT"),
        ("reshape_weight", false, "a weight of another shape (reshape_weight)"),
    ]
}
