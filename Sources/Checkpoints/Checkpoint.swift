package import Files
import StrictJSON

/// A checkpoint in the folder layout of diffusers, open for reading: every header and configuration is validated, no tensor is read but for those of
/// a control network that may be the base's.
package final class Checkpoint: Sendable {
    package var path: String { parts.path }
    /// `_class_name` of `model_index.json`.
    package var className: String { parts.className }
    /// The components that are present, by their keys in `model_index.json`.
    package let components: [String: CheckpointComponent]
    /// The configurations and the tokenizer's files that the family names, as they are, sorted by path.
    package var smallFiles: [SmallFile] { parts.smallFiles }
    private let parts: CheckpointReader.Parts

    /// Opens the folder at `path`.
    /// - Parameters:
    ///   - variant: which weights to take in components that have several sets, "fp16" for instance.
    ///   - files: by component, a file to take its weights from; the folder's own are then not looked at.
    ///   - folders: by component, a folder that takes the place of its own, configuration included.
    ///   - weights: which weights of such files are meant.
    ///   - timeScale: what the largest flow time is for the transformer, where it is not distilled and its configuration does not say.
    ///   - wiring: of a control network; nil for as it says itself.
    package static func open(
        _ path: String, variant: String? = nil, files: [String: String] = [:], folders: [String: String] = [:], weights: WeightsChoice = .model,
        timeScale: Double? = nil, wiring: ControlWiring? = nil
    ) throws(CheckpointError) -> Checkpoint {
        var source = CheckpointSource(path)
        (source.variant, source.files, source.folders, source.weights, source.timeScale) = (variant, files, folders, weights, timeScale)
        source.wiring = wiring
        return try Checkpoint(folder: source)
    }

    /// Opens the folder that `source` names.
    convenience init(folder source: CheckpointSource) throws(CheckpointError) { self.init(try CheckpointReader(source).read()) }

    private init(_ parts: CheckpointReader.Parts) {
        components = Dictionary(uniqueKeysWithValues: parts.components.map { ($0.name, $0) })
        self.parts = parts
    }

    /// The same checkpoint with a component's tensors from other files, of whatever kind: where it is kept elsewhere, or has additions.
    package func replacing(_ component: String, files: [any TensorFile]) throws(CheckpointError) -> Checkpoint {
        var parts = parts
        guard let index = parts.components.firstIndex(where: { $0.name == component }) else { throw .missingComponent(path: path, component: component) }
        parts.components[index] = try parts.components[index].replacing(files: files)
        return Checkpoint(parts)
    }

    /// The same checkpoint with what adapters add to its weights, in their order.
    package func adapted(by sources: [AdapterSource]) throws(CheckpointError) -> Checkpoint {
        guard !sources.isEmpty else { return self }
        var parts = parts
        let targets = AdapterTargets(parts.components)
        for source in sources {
            let file = try AdapterFile.open(source.path)
            parts.adapters.append(try AdapterResolution.resolve(file, source, number: parts.adapters.count + 1, in: components, targets))
        }
        for index in parts.components.indices { parts.components[index] = try parts.components[index].adapted(by: parts.adapters) }
        return Checkpoint(parts)
    }

    /// The adapters whose additions are part of the weights.
    package var adapters: [Adapter] { parts.adapters }

    /// All files that were opened, so that no output overwrites one.
    package var inputIdentities: [FileIdentity] {
        parts.identities + parts.components.flatMap { $0.files.compactMap(\.identity) }
            + parts.adapters.flatMap { [$0.file.file.identity, $0.file.settingsFile?.identity].compactMap { $0 } }
    }

    /// The small file of that path: one of `smallFiles`, or another one that lies in the folder, as files of version 0.1 hold them too.
    /// - Precondition: no part of the path leads out of the folder.
    package func smallFile(_ path: String) -> SmallFile? {
        if let carried = smallFiles.first(where: { ExactString($0.path) == ExactString(path) }) { return carried }
        return (try? SmallFile.read(Paths.join(self.path, path), limit: SmallFile.tokenizerLimit)).map { SmallFile(path: path, bytes: $0) }
    }

    /// What the files have beside the model, with why it is left out.
    package var omissions: [Omission] { components.values.sorted { $0.name < $1.name }.flatMap(\.omissions) + parts.omissions }

    /// How the files' tensors are read, where it is not as they are.
    package var notes: [String] { components.values.sorted { $0.name < $1.name }.flatMap { component in component.notes.map { "\(component.name): \($0)" } } }

    /// The patterns of names that were left out.
    package var ignored: [Glob] { parts.ignored }

    /// Throws where one of the patterns leaves nothing out: it was meant for another name.
    package func checkIgnored() throws(CheckpointError) {
        for glob in ignored where !components.values.contains(where: { $0.ignoredNames.contains(where: glob.matches) }) {
            throw .nothingIgnored(path: path, pattern: glob.pattern)
        }
    }

    /// The tokenizer's tokenizer.json; nil where the checkpoint has no tokenizer.
    package var tokenizerJSON: SmallFile? { smallFiles.first { $0.path == "tokenizer/tokenizer.json" } }

    /// The weight files, with paths relative to the checkpoint, sorted by path.
    package var weightFiles: [(path: String, size: UInt64)] {
        components.values.flatMap { component in
            component.files.map { (path: Paths.join(component.name, Paths.name(of: $0.path)), size: $0.byteCount) }
        }.sorted { ExactString($0.path) < ExactString($1.path) }
    }

    /// Throws when a weight file was changed since it was opened: called after the last read.
    package func checkUnchanged() throws(CheckpointError) {
        for file in components.values.flatMap({ $0.files + $0.additions }) { try file.checkUnchanged() }
    }
}
