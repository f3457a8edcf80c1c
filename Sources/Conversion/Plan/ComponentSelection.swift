package import Inference

/// The parts of a checkpoint that go into a file.
package enum ComponentSelection: Sendable, Equatable {
    /// What making pictures from prompts takes, as far as the checkpoint has it: transformer, vae-decoder, text-encoder, tokenizer, prefix-cache,
    /// certificate.
    case standard
    /// Everything that the checkpoint has: the autoencoder's encoder too.
    case all
    /// Exactly these, which the checkpoint must have.
    case listed([Component])

    /// Reads "all", or names separated by commas.
    package init(_ text: String) throws(ConversionError) {
        guard text != "all" else {
            self = .all
            return
        }
        var components: [Component] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let component = Component(rawValue: String(word)) else {
                let names = Component.allCases.map(\.rawValue).joined(separator: ", ")
                throw .component("\"\(word)\"", message: "cannot be packed; supported are \(names), or all")
            }
            if !components.contains(component) { components.append(component) }
        }
        self = .listed(components)
    }

    /// The selected components in the order in which a file has them.
    /// - Parameter folders: the component folders that the checkpoint has.
    func resolved(folders: Set<String>) throws(ConversionError) -> [Component] {
        switch self {
        case .standard: return Component.allCases.filter { $0 != .vaeEncoder && Self.isPossible($0, folders) }
        case .all: return Component.allCases.filter { Self.isPossible($0, folders) }
        case .listed(let components):
            for component in components where !component.isAttachment && !folders.contains(component.folder) {
                throw .component(component.rawValue, message: "the checkpoint has no folder \(component.folder); leave it out of --components")
            }
            if components.contains(.prefixCache), let missing = Self.prefixCacheParts.first(where: { !components.contains($0) }) {
                throw .component(
                    Component.prefixCache.rawValue, message: "is computed with the \(missing.rawValue); name that too, or leave both out of --components")
            }
            if components.contains(.certificate), !components.contains(where: Self.hasLayers) {
                throw .component(
                    Component.certificate.rawValue, message: "is about a model's layers; name one of \(Self.withLayers), or leave it out of --components")
            }
            return Component.allCases.filter { components.contains($0) }
        }
    }

    /// The components whose packed form the prefix cache is computed from.
    private static let prefixCacheParts: [Component] = [.textEncoder, .tokenizer]

    private static func hasLayers(_ component: Component) -> Bool { !component.isAttachment && component != .tokenizer }
    private static var withLayers: String { Component.allCases.filter(hasLayers).map(\.rawValue).joined(separator: ", ") }

    private static func isPossible(_ component: Component, _ folders: Set<String>) -> Bool {
        switch component {
        case .prefixCache: prefixCacheParts.allSatisfy { folders.contains($0.folder) }
        case .certificate: Component.allCases.contains { hasLayers($0) && folders.contains($0.folder) }
        default: folders.contains(component.folder)
        }
    }
}

extension Component {
    /// The folder of a diffusers checkpoint that holds it.
    package var folder: String {
        switch self {
        case .transformer: "transformer"
        case .vaeDecoder, .vaeEncoder: "vae"
        case .textEncoder: "text_encoder"
        case .tokenizer: "tokenizer"
        // Computed from packed weights, in no folder.
        case .prefixCache, .certificate: ""
        }
    }
}
