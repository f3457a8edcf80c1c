import StrictJSON
import Tensors

/// The modules of a checkpoint that an adapter can name: as diffusers and transformers call them, as NVlabs does, and both with underscores for dots.
struct AdapterTargets {
    /// A module, or several of diffusers that NVlabs keeps as one: then each has as many rows of it.
    struct Target: Equatable {
        let component: String
        let modules: [String]
    }

    private static let (transformer, textEncoder) = ("transformer", "text_encoder")
    /// What programs put before a module's name, and the model that it says.
    private static let prefixes: [(text: String, component: String?)] = [
        ("base_model.model.", nil), ("model.diffusion_model.", transformer), ("diffusion_model.", transformer), ("transformer.", transformer),
        ("unet.", transformer), ("text_encoder.", textEncoder), ("module.", nil), ("model.", nil), ("lora_unet_", transformer),
        ("lora_transformer_", transformer), ("lora_te_", textEncoder), ("lora_te1_", textEncoder), ("lora_text_encoder_", textEncoder), ("lycoris_", nil),
    ]

    private var targets: [ExactString: [Target]] = [:]

    init(_ components: [CheckpointComponent]) {
        for component in components where [Self.transformer, Self.textEncoder].contains(component.name) {
            let suffix = ".weight"
            let modules = component.tensorNames.filter { $0.hasSuffix(suffix) && (component.entry($0)?.shape.rank ?? 0) > 1 }
                .map { String($0.dropLast(suffix.count)) }
            for module in modules { add(module, [module], component.name) }
            guard component.name == Self.transformer else { continue }
            let known = Set(modules.map { ExactString($0) })
            let blocks = Set(modules.filter { $0.hasPrefix("transformer_blocks.") }.map { String($0.split(separator: ".")[1]) })
            for row in TransformerNames.originals(blocks: blocks) where row.modules.allSatisfy({ known.contains(ExactString($0)) }) {
                add(row.original, row.modules, component.name)
            }
        }
    }

    private mutating func add(_ name: String, _ modules: [String], _ component: String) {
        let target = Target(component: component, modules: modules)
        for spelling in Set([name, Self.flattened(name)]) { targets[ExactString(spelling), default: []].append(target) }
    }

    private static func flattened(_ name: String) -> String { String(name.map { $0 == "." ? "_" : $0 }) }

    /// The one target of a module's name; nil where there is none, or more than one.
    func find(_ name: String) -> Target? {
        let (rest, component) = Self.stripped(name)
        // Gemma2ForCausalLM keeps its model under this name.
        for name in [rest] + (rest.hasPrefix("model_") ? [String(rest.dropFirst("model_".count))] : []) {
            let found = (targets[ExactString(name)] ?? []).filter { component == nil || $0.component == component }
            if let first = found.first { return found.allSatisfy { $0 == first } ? first : nil }
        }
        return nil
    }

    /// Names that somebody may have meant, as they are written there.
    func nearest(to name: String) -> [String] {
        let (rest, component) = Self.stripped(name)
        let names = targets.filter { entry in
            entry.key.string.contains(".") == rest.contains(".") && entry.value.contains { component == nil || $0.component == component }
        }.map(\.key).sorted().map(\.string)
        return NearestNames(names).nearest(to: rest)
    }

    /// A module's name without what goes before it, and the model that this says.
    static func stripped(_ name: String) -> (name: String, component: String?) {
        var rest = name.split(separator: ".", omittingEmptySubsequences: false).filter { !NamePrefixes.wrappers.contains($0) }.joined(separator: ".")
        var component: String?
        while let prefix = prefixes.first(where: { rest.hasPrefix($0.text) && rest != $0.text }) {
            rest = String(rest.dropFirst(prefix.text.count))
            component = prefix.component ?? component
        }
        // diffusers once kept adapters in the attention's processor, where the list of its output was one module.
        if rest.contains(".processor.") {
            rest = rest.replacing(".processor.", with: ".")
            if rest.hasSuffix(".to_out") { rest += ".0" }
        }
        return (rest, component)
    }
}
