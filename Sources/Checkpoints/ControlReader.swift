import Files
import StrictJSON
import Tensors

/// How a control network is joined to its base. Weights that were trained one way draw something else the other.
package enum ControlWiring: String, Sendable, CaseIterable {
    /// The branch sets out from what block 0 gives; residual j is added before block j + 1. Of files in NVlabs' names.
    case nvlabs
    /// The branch sets out from the patches; residual j is added after block j + 1. Of folders and files in diffusers' names.
    case diffusers
}

/// A control network beside a checkpoint, as a component of it: a folder of diffusers' SanaControlNetModel, or a file of its weights.
///
/// Its configuration says, beside what diffusers says there, how it is wired, and whether patches, time and caption are embedded by networks of its
/// own or by the base's. Formats/checkpoint.md has the rules.
enum ControlReader {
    /// Key in `model_index.json`, and folder.
    static let name = "controlnet"
    /// Members of the configuration that diffusers does not have.
    static let (wiringKey, embeddersKey) = ("control_wiring", "control_embedders")

    private static let embedders = ["patch_embed.", "time_embed.", "caption_projection.", "caption_norm."]

    /// A file of weights, whose sizes are the base's and whose parts its names tell.
    static func read(
        _ path: String, _ rule: ComponentRule, className: String, beside parts: CheckpointReader.Parts, weights: WeightsChoice
    ) throws(CheckpointError) -> CheckpointComponent {
        let file = try OriginalFile.open(path, component: name, configuration: .object(JSONObject()), weights: weights)
        let names = file.files.flatMap(\.tensors).map(\.name)
        var configuration = try base(of: parts).configuration.object ?? JSONObject()
        configuration["_class_name"] = .string(className)
        configuration["num_layers"] = JSONValue(names.count { $0.hasPrefix("controlnet_blocks.") && $0.hasSuffix(".weight") })
        configuration["qk_norm"] = names.contains { $0.hasSuffix(".attn1.norm_k.weight") } ? "rms_norm_across_heads" : .null
        configuration["guidance_embeds"] = .bool(names.contains { $0.hasPrefix("time_embed.guidance_embedder.") })
        configuration[wiringKey] = .string((file.isOriginal ? ControlWiring.nvlabs : .diffusers).rawValue)
        return try CheckpointComponent(
            rule: rule, className: className, folder: path, configuration: .object(configuration), files: file.files, variant: nil, omissions: file.omissions,
            notes: file.notes)
    }

    private static func base(of parts: CheckpointReader.Parts) throws(CheckpointError) -> CheckpointComponent {
        guard let base = parts.components.first(where: { $0.name == "transformer" }) else {
            throw .missingComponent(path: parts.path, component: "transformer")
        }
        return base
    }

    /// Settles how the checkpoint's control network is wired, and leaves out of it what is the base's.
    /// - Parameter wiring: nil for what its configuration says, or its names.
    static func join(_ parts: inout CheckpointReader.Parts, wiring: ControlWiring?) throws(CheckpointError) {
        guard let index = parts.components.firstIndex(where: { $0.name == name }) else { return }
        let (own, base) = (parts.components[index], try base(of: parts))
        var configuration = own.configuration.object ?? JSONObject()
        let wiring = if let wiring { wiring } else { try stated(configuration, own.folder) }
        let copies = own.tensorNames.filter(isEmbedder)
        let areBase = try areEqual(copies, own, base)
        let leavesOut = wiring == .nvlabs || areBase
        configuration[wiringKey] = .string(wiring.rawValue)
        configuration[embeddersKey] = .string(leavesOut || copies.isEmpty ? "base" : "own")
        let reason =
            areBase
            ? "the base has the same, which are kept once"
            : "NVlabs' wiring has the base's in their place, from which these differ: another base may be meant, or --control-wiring diffusers"
        let rule = ComponentRule(
            name: own.rule.name, classNames: own.rule.classNames, weights: own.rule.weights,
            ignored: leavesOut ? Dictionary(uniqueKeysWithValues: copies.map { ($0, reason) }) : [:])
        parts.components[index] = try CheckpointComponent(
            rule: rule, className: own.className, folder: own.folder, configuration: .object(configuration), files: own.files, variant: own.variant,
            omissions: own.omissions)
        parts.smallFiles.removeAll { $0.path == Paths.join(name, own.rule.configuration) }
        parts.smallFiles.append(SmallFile(path: Paths.join(name, own.rule.configuration), bytes: JSONValue.object(configuration).canonicalText))
    }

    private static func stated(_ configuration: JSONObject, _ folder: String) throws(CheckpointError) -> ControlWiring {
        guard let value = configuration[wiringKey] else { return .diffusers }
        guard let wiring = value.string.flatMap(ControlWiring.init) else {
            throw .json(
                path: folder,
                .field(subject: wiringKey, expected: ControlWiring.allCases.map(\.rawValue).joined(separator: " or "), found: value.text))
        }
        return wiring
    }

    private static func isEmbedder(_ name: String) -> Bool { embedders.contains(where: name.hasPrefix) }

    /// Whether the embedders are all that the base has, bit for bit.
    private static func areEqual(_ names: [String], _ own: CheckpointComponent, _ base: CheckpointComponent) throws(CheckpointError) -> Bool {
        guard names.map(ExactString.init) == base.tensorNames.filter(isEmbedder).map(ExactString.init) else { return false }
        for name in names { guard try isEqual(name, own, base) else { return false } }
        return true
    }

    /// Bytes of either that are compared at a time.
    private static let pieceByteCount: UInt64 = 1 << 20

    private static func isEqual(_ name: String, _ own: CheckpointComponent, _ base: CheckpointComponent) throws(CheckpointError) -> Bool {
        guard let left = own.entry(name), let right = base.entry(name), left.dtype == right.dtype, left.shape == right.shape else { return false }
        var start: UInt64 = 0
        while start < left.byteCount {
            let range = start..<min(start + pieceByteCount, left.byteCount)
            guard try own.bytes(of: name, range) == base.bytes(of: name, range) else { return false }
            start = range.upperBound
        }
        return true
    }
}
