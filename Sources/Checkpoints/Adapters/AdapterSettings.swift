import StrictJSON

/// What PEFT's configuration says of one model's adapter: in the header of the file, or in `adapter_config.json` beside it.
struct AdapterSettings: Sendable {
    /// What said it, for messages.
    let subject: String
    private let rank: Int?
    private let alpha: Double?
    private let ranks: [(pattern: String, value: Int)]
    private let alphas: [(pattern: String, value: Double)]
    let usesRootOfRank: Bool
    /// Nil where it does not say.
    let isDoRA: Bool?
    let hasBias: Bool?

    /// - Throws: where a member is of the wrong kind.
    /// - Parameter problems: gets the settings that change what the tensors mean in a way that is not supported.
    init(_ fields: JSONFields, problems: inout [AdapterProblem]) throws(JSONError) {
        subject = fields.subject
        rank = try fields.value("r").map { _ throws(JSONError) in try fields.int("r", in: 1...Self.mostRank) }
        alpha = try fields.value("lora_alpha").map { _ throws(JSONError) in try fields.double("lora_alpha") }
        ranks = try Self.pattern(fields, "rank_pattern", &problems) { fields, key throws(JSONError) in try fields.int(key, in: 1...Self.mostRank) }
        alphas = try Self.pattern(fields, "alpha_pattern", &problems) { fields, key throws(JSONError) in try fields.double(key) }
        usesRootOfRank = try fields.bool("use_rslora", default: false)
        isDoRA = try fields.value("use_dora").map { _ throws(JSONError) in try fields.bool("use_dora") }
        hasBias = try fields.value("lora_bias").map { _ throws(JSONError) in try fields.bool("lora_bias") }
        for (key, value) in fields.object.members {
            if let reason = Self.refusal(key, value) {
                problems.append(.setting(name: "\(fields.subject): \(key)", found: value.text.quoted, reason: reason))
            }
        }
    }

    private static let mostRank = 1 << 20

    /// The rank of a module, by its name in the model; nil where nothing says it.
    func rank(of module: String) -> Int? { ranks.first { Self.matches($0.pattern, module) }?.value ?? rank }
    func alpha(of module: String) -> Double? { alphas.first { Self.matches($0.pattern, module) }?.value ?? alpha }

    /// For people.
    var alphaText: String {
        (alpha.map { "\($0)" } ?? "the rank") + (alphas.isEmpty ? "" : ", another one by \(alphas.count) patterns")
            + (usesRootOfRank ? ", over the root of the rank" : "")
            + " (\(subject))"
    }

    /// A pattern is the end of a module's name, or behind `^` all of it.
    private static func matches(_ pattern: String, _ module: String) -> Bool {
        let name = pattern.hasPrefix("^") ? String(pattern.dropFirst()) : pattern
        return ExactString(name) == ExactString(module) || name.utf8.count == pattern.utf8.count && module.hasSuffix("." + name)
    }

    private static func pattern<Value>(
        _ fields: JSONFields, _ key: String, _ problems: inout [AdapterProblem], _ read: (JSONFields, String) throws(JSONError) -> Value
    ) throws(JSONError) -> [(pattern: String, value: Value)] {
        guard fields.value(key) != nil else { return [] }
        let patterns = try fields.fields(key)
        var result: [(pattern: String, value: Value)] = []
        for name in patterns.object.keys {
            // Names of modules have no other characters; a regular expression may match what nobody thinks of.
            let rest = name.hasPrefix("^") ? name.dropFirst() : name[...]
            guard rest.utf8.allSatisfy({ isWord($0) }) else {
                problems.append(
                    .setting(name: patterns.subject, found: name.quoted, reason: "expected names of modules, not regular expressions; write the names out"))
                continue
            }
            result.append((name, try read(patterns, name)))
        }
        return result
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || [UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-")].contains(byte)
    }

    // MARK: - What else it may say

    /// Settings that are read here, are of the training alone, or show in the tensors.
    private static let known: Set<String> = [
        "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "peft_type", "init_lora_weights", "task_type",
        "peft_version",
        "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "target_modules", "exclude_modules", "modules_to_save", "lora_dropout", "bias",
        "fan_in_fan_out", "layers_to_transform", "layers_pattern", "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config",
        "lora_ga_config", "qalora_group_size", "runtime_config", "ensure_weight_tying", "trainable_token_indices", "ephemeral_gpu_offload",
    ]

    /// Starts of a training that change the base, and with it what the adapter is relative to.
    private static let changedBases = ["pissa", "olora", "corda", "loftq", "lora_ga"]

    /// Why a setting cannot be kept; nil where it can.
    private static func refusal(_ key: String, _ value: JSONValue) -> String? {
        switch key {
        case "peft_type":
            return value.string == "LORA" || value.isNull
                ? nil : "expected a LoRA; other kinds are not supported: merge it in the program that it was trained with"
        case "init_lora_weights":
            guard let name = value.string, changedBases.contains(where: { name.hasPrefix($0) }) else { return nil }
            return "such a training changes the base too; save the adapter relative to the untouched one (path_initial_model_for_weight_conversion of PEFT)"
        default:
            return known.contains(key) || isEmpty(value)
                ? nil : "not known here, and it may change what the adapter computes; merge it in the program that it was trained with"
        }
    }

    private static func isEmpty(_ value: JSONValue) -> Bool {
        value.isNull || value.bool == false || value.array?.isEmpty == true || value.object?.count == 0 || value.string == ""
    }
}
