import StrictJSON

/// What a transformer's configuration has to say otherwise than the folder does: where its weights come from a file of another kind of model, or the
/// user knows its times.
struct TransformerMembers {
    /// What the file's tensors decide; nil where the folder's own weights are read.
    let decided: JSONObject?
    /// The flow time's largest value as the network takes it; nil where nobody states it.
    let timeScale: Double?

    private static let guidance = "guidance_embeds"
    private static let times = "timestep_scale"
    /// Where the times of diffusers' SanaPipeline end, which timestep_scale multiplies.
    private static let pipelineTimes = 1000.0

    /// Guidance and norms of a file in NVlabs' names, which both show in its tensors.
    static func decided(by names: [String]) -> JSONObject {
        let hasNorms = names.contains { $0.hasSuffix(".attn.q_norm.weight") }
        return [guidance: .bool(TransformerNames.embedsGuidance(names)), "qk_norm": hasNorms ? "rms_norm_across_heads" : .null]
    }

    /// The configuration with these members; nil where it says the same already.
    /// - Parameter path: of the weights, for errors.
    func applied(to configuration: JSONObject, path: String) throws(CheckpointError) -> JSONObject? {
        var result = configuration
        func set(_ key: String, _ value: JSONValue) { result = result.setting(key, value) }
        let before = configuration[Self.guidance]?.bool ?? false
        for (key, value) in decided?.members ?? [] where (configuration[key] ?? (key == Self.guidance ? false : .null)) != value { set(key, value) }
        let embedsGuidance = result[Self.guidance]?.bool ?? false
        if let timeScale {
            guard !embedsGuidance else { throw .timeScaleOfSprint(path: path) }
            let factor = JSONValue.number(timeScale / Self.pipelineTimes)
            if configuration[Self.times]?.double ?? 1 != factor.double { set(Self.times, factor) }
        } else if before, !embedsGuidance {
            throw .noTimeScale(path: path)
        }
        return result == configuration ? nil : result
    }
}

extension JSONObject {
    /// The same with a member changed, or added at the end.
    fileprivate func setting(_ key: String, _ value: JSONValue) -> JSONObject {
        var members = members.map { ($0.key, ExactString($0.key) == ExactString(key) ? value : $0.value) }
        if self[key] == nil { members.append((key, value)) }
        return JSONObject(members)
    }
}
