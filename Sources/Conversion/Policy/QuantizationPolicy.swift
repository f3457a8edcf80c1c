import Inference
import PackedFiles
import StrictJSON
import Tensors

/// Which scheme stores a tensor: a rule's where one fits its name, else what was measured for it, else the preset's for its role.
struct QuantizationPolicy: Sendable {
    let preset: Preset
    let rules: [RuleFile.Rule]
    /// What was measured, for tensors that no rule decides about; nil where nothing was.
    var choices: LayerChoices?

    init(_ preset: Preset, rules: RuleFile? = nil) {
        self.preset = preset
        self.rules = rules?.rules ?? []
    }

    /// What decided, for the plan: the line of a rule, or nil for the preset.
    struct Decision: Sendable, Equatable {
        let storage: Storage
        let line: Int?
        var calibration: Calibration?
    }

    /// The storage of one row.
    /// - Parameter dtypes: those of its sources.
    /// - Throws: `.rule` where a rule's scheme cannot hold the tensor.
    func decide(_ row: WeightRow, component: Component, dtypes: [DType]) throws(ConversionError) -> Decision {
        // A few vectors, which every step adds to everything.
        if case .computed = row.recipe { return Decision(storage: Storage(.f32), line: nil) }
        guard let rule = rules.first(where: { $0.matches(row.name) }) else {
            let usual = Self.storage(preset, row, component: component, dtypes: dtypes)
            guard let choice = choices?[row.name] else { return Decision(storage: usual, line: nil) }
            return Decision(storage: choice.storage, line: nil, calibration: choice.calibration)
        }
        guard rule.scheme.isQuantized else { return Decision(storage: Storage(rule.scheme), line: rule.line) }
        guard row.role.holdsQuantizedRows else {
            throw .rule(
                line: rule.line,
                message: "\(rule.scheme) cannot hold \(row.name), a \(row.role.rawValue); give it f32, f16 or bf16 by a rule above this one")
        }
        if let obstacle = rule.scheme.obstacle(row.shape) {
            throw .rule(line: rule.line, message: "\(rule.scheme) cannot hold \(row.name), \(row.shape), \(obstacle); give it int8-per-channel")
        }
        let possible = rule.scheme.activations(for: row.shape)
        let usual = row.role.defaultActivations
        // A scheme without integer arithmetic computes in floating point unless a rule insists.
        let activations = rule.activations ?? (rule.scheme.integerTurn == nil ? .float : usual)
        guard possible.contains(activations), activations == .float || row.role.takesIntegerActivations else {
            let scheme = possible.contains(activations) ? "" : " for \(rule.scheme)"
            throw .rule(
                line: rule.line,
                message: "\(row.name), a \(row.role.rawValue), has no \(activations.rawValue) arithmetic\(scheme); give it the activations float")
        }
        return Decision(storage: Storage(rule.scheme, activations: activations), line: rule.line)
    }

    private static func storage(_ preset: Preset, _ row: WeightRow, component: Component, dtypes: [DType]) -> Storage {
        switch preset {
        case .fp32: return Storage(.f32)
        case .fp16: return Storage(.f16)
        case .bf16: return Storage(.bf16)
        case .int8, .compact: break
        }
        let kept = component.definition.keepsFloat16 ? Scheme.f16 : kept(dtypes)
        switch row.role {
        case .textLinear, .embedding:
            let isSmall = preset == .compact && Scheme.int4Grouped.holds(row.shape)
            return Storage(isSmall ? .int4Grouped : .int8PerChannel, activations: .float)
        case .linear, .convolution: return Storage(.int8PerChannel, activations: row.role.defaultActivations)
        case .gatedLinear: return Storage(Scheme.int8Rotated.holds(row.shape) ? .int8Rotated : .int8PerChannel, activations: .int8PerToken)
        // Eight bits of weights alone cost nothing beside four: the velocities' errors stay what they were.
        case .sensitiveLinear where preset == .compact: return Storage(.int8PerChannel, activations: .float)
        case .sensitiveLinear, .sensitiveConvolution, .groupedConvolution, .depthwise, .bias, .norm, .table, .schedule:
            return Storage(kept)
        }
    }

    /// The 16-bit type of a tensor that is not quantized: the sources' own where they agree on one, else bfloat16, whose range holds float32's.
    static func kept(_ dtypes: [DType]) -> Scheme {
        dtypes.allSatisfy { $0 == .f16 } ? .f16 : .bf16
    }

    /// The policy in one spelling, for the packed directory.
    var json: JSONValue {
        var object: JSONObject = ["preset": .string(preset.rawValue), "rules": .array(rules.map { .string($0.text) })]
        if let choices { object[LayerChoices.policyKey] = choices.json }
        return .object(object)
    }
}

extension Role {
    /// Whether a scale per output channel makes sense: the rows are dot products or table rows of many elements.
    var holdsQuantizedRows: Bool {
        switch self {
        case .linear, .gatedLinear, .textLinear, .sensitiveLinear, .embedding, .convolution, .sensitiveConvolution, .groupedConvolution: true
        case .depthwise, .bias, .norm, .table, .schedule: false
        }
    }

    /// Whether the runtime has an int8 x int8 product for it.
    var takesIntegerActivations: Bool {
        switch self {
        case .linear, .gatedLinear, .textLinear, .sensitiveLinear, .convolution, .sensitiveConvolution: true
        case .embedding, .groupedConvolution, .depthwise, .bias, .norm, .table, .schedule: false
        }
    }

    /// What a quantized weight of this role does with its input unless a rule says otherwise.
    var defaultActivations: ActivationScheme { [.linear, .gatedLinear, .convolution].contains(self) ? .int8PerToken : .float }
}
