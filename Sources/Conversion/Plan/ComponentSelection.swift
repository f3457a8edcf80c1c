package import Inference

/// The parts of a checkpoint that go into a file.
package enum ComponentSelection: Sendable, Equatable {
    /// What making pictures from prompts takes, as far as the checkpoint has it: transformer, vae-decoder, text-encoder, tokenizer, prefix-cache,
    /// certificate, quality; with a control network, that and vae-encoder.
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

    /// The folders of a checkpoint that a conversion cannot do without; nil where it takes all that there are. The transformer's configuration
    /// says what family a file is of, and the scheduler's how its times run.
    package var folders: Set<String>? {
        guard case .listed(let components) = self else { return nil }
        return Set(components.compactMap(\.folder)).union(Self.always)
    }

    package static let always: Set = ["transformer", "scheduler"]

    /// The selected components in the order in which a file has them.
    /// - Parameter folders: the component folders that the checkpoint has.
    func resolved(folders: Set<String>) throws(ConversionError) -> [Component] {
        switch self {
        case .standard:
            return Component.allCases.filter { component in
                let other = component.definition.isStandardBeside
                return (component.definition.isStandard || other.map { Self.isPossible($0, folders) } == true) && Self.isPossible(component, folders)
            }
        case .all: return Component.allCases.filter { Self.isPossible($0, folders) }
        case .listed(let components):
            for component in components {
                if let folder = component.folder, !folders.contains(folder) {
                    throw .component(component.rawValue, message: "the checkpoint has no folder \(folder); leave it out of --components")
                }
                switch component.definition.needs {
                case .nothing: break
                case .all(let parts):
                    guard let missing = parts.first(where: { !components.contains($0) }) else { break }
                    throw .component(
                        component.rawValue, message: "is computed with the \(missing.rawValue); name that too, or leave both out of --components")
                case .any(let parts):
                    guard !parts.contains(where: components.contains) else { break }
                    let names = parts.map(\.rawValue).joined(separator: ", ")
                    throw .component(component.rawValue, message: "is about a model's layers; name one of \(names), or leave it out of --components")
                }
            }
            return Component.allCases.filter { components.contains($0) }
        }
    }

    private static func isPossible(_ component: Component, _ folders: Set<String>) -> Bool {
        func isThere(_ component: Component) -> Bool { component.folder.map(folders.contains) ?? true }
        return switch component.definition.needs {
        case .nothing: isThere(component)
        case .all(let parts): parts.allSatisfy(isThere)
        case .any(let parts): parts.contains(where: isThere)
        }
    }
}
