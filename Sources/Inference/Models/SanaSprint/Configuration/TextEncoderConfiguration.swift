import StrictJSON

/// The architecture of a Gemma-2 text encoder: `text_encoder/config.json` of transformers' Gemma2Model.
package struct TextEncoderConfiguration: Sendable, Equatable {
    package let layers: Int
    package let vocabulary: Int
    package let width: Int
    package let hidden: Int
    package let heads: Int
    package let keyValueHeads: Int
    package let headDimension: Int
    package let attentionBias: Bool
    package let normEpsilon: Double
    /// Factor of the attention logits: query_pre_attn_scalar ** -0.5.
    package let attentionScale: Double
    /// Bound of the attention logits, cap * tanh(logit / cap); nil where they are unbounded.
    package let softCap: Double?
    /// Per layer: how many tokens back it sees, itself included; nil for all of them.
    package let windows: [Int?]
    package let ropeTheta: Double

    package var queryWidth: Int { heads * headDimension }
    package var keyValueWidth: Int { keyValueHeads * headDimension }

    private static let file = "text_encoder/config.json"

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: Self.file)
        try reader.choice("model_type", [("gemma2", ())], default: "gemma2")
        layers = try reader.int("num_hidden_layers", in: 1...1024, default: 26)
        vocabulary = try reader.int("vocab_size", in: 1...4_194_304, default: 256_000)
        width = try reader.int("hidden_size", in: 1...65_536, default: 2304)
        hidden = try reader.int("intermediate_size", in: 1...262_144, default: 9216)
        heads = try reader.int("num_attention_heads", in: 1...4096, default: 8)
        keyValueHeads = try reader.int("num_key_value_heads", in: 1...4096, default: 4)
        headDimension = try reader.int("head_dim", in: 2...4096, default: 256)
        attentionBias = try reader.bool("attention_bias", default: false)
        normEpsilon = try reader.double("rms_norm_eps", in: 0...1, default: 1e-6)
        attentionScale = 1 / (try reader.double("query_pre_attn_scalar", in: 1e-6...1e9, default: 256)).squareRoot()
        guard heads % keyValueHeads == 0 else {
            throw .inconsistent(subject: "\(Self.file): num_key_value_heads", expected: "a divisor of \(heads) heads", found: "\(keyValueHeads)")
        }
        guard headDimension % 2 == 0 else {
            throw .inconsistent(subject: "\(Self.file): head_dim", expected: "an even number, for the rotary embedding", found: "\(headDimension)")
        }
        softCap = try Self.softCap(reader)
        windows = try Self.windows(reader, layers: layers)
        ropeTheta = try Self.ropeTheta(reader)
        try reader.choice("hidden_activation", [("gelu_pytorch_tanh", ())], default: "gelu_pytorch_tanh")
        try reader.mustBe("use_bidirectional_attention", false, why: "false")
    }

    /// Null switches the cap off; an absent member means Gemma-2's 50.
    private static func softCap(_ reader: ConfigurationReader) throws(InferenceError) -> Double? {
        let key = "attn_logit_softcapping"
        if let value = reader.fields.object[key], value.isNull { return nil }
        return try reader.double(key, in: 1e-6...1e9, default: 50)
    }

    /// Without `layer_types` the even layers slide, as in transformers.
    private static func windows(_ reader: ConfigurationReader, layers: Int) throws(InferenceError) -> [Int?] {
        let sliding =
            reader.has("layer_types")
            ? try reader.choices("layer_types", [("sliding_attention", true), ("full_attention", false)], stages: layers, default: "")
            : (0..<layers).map { $0 % 2 == 0 }
        if let value = reader.fields.object["sliding_window"], value.isNull { return sliding.map { _ in nil } }
        let window = try reader.int("sliding_window", in: 1...16_777_216, default: 4096)
        return sliding.map { $0 ? window : nil }
    }

    /// Since transformers 5 the base lies in `rope_parameters`, before at the top level; some writers give both, and the default kind by its name in
    /// `rope_scaling` too.
    private static func ropeTheta(_ reader: ConfigurationReader) throws(InferenceError) -> Double {
        var stated: [(place: String, theta: Double)] = []
        for place in ["rope_parameters", "rope_scaling"] {
            guard let parameters = reader.fields.value(place) else { continue }
            let inner = try ConfigurationReader(parameters, subject: "\(file): \(place)")
            // The older spelling of the kind's name is `type`.
            for kind in ["rope_type", "type"] { try inner.choice(kind, [("default", ())], default: "default") }
            if inner.has("rope_theta") { stated.append((place, try theta(inner))) }
        }
        if stated.count == 2, stated[0].theta != stated[1].theta {
            throw .inconsistent(
                subject: "\(file): rope_scaling: rope_theta", expected: "the \(stated[0].theta) of rope_parameters", found: "\(stated[1].theta)")
        }
        guard let inner = stated.first else { return try theta(reader) }
        return inner.theta
    }

    private static func theta(_ reader: ConfigurationReader) throws(InferenceError) -> Double {
        try reader.double("rope_theta", in: 1...1e12, default: 10_000)
    }
}
