import Files
import Safetensors
import StrictJSON

/// Opens a checkpoint folder; Formats/checkpoint.md is the list of what it enforces.
struct CheckpointReader {
    let path: String
    let variant: String?
    /// By component, the file that its weights come from instead of the folder's.
    let files: [String: String]
    /// By component, the folder that takes the place of its own.
    let folders: [String: String]
    let weights: WeightsChoice
    /// How a control network is wired; nil for as it says itself.
    let wiring: ControlWiring?
    private var indexPath: String { Paths.join(path, "model_index.json") }

    struct Parts {
        var path: String
        var className: String
        var components: [CheckpointComponent] = []
        var smallFiles: [SmallFile] = []
        var identities: [FileIdentity] = []
    }

    init(
        path: String, variant: String?, files: [String: String] = [:], folders: [String: String] = [:], weights: WeightsChoice = .model,
        wiring: ControlWiring? = nil
    ) {
        self.path = path
        self.variant = variant
        self.files = files
        self.folders = folders
        self.weights = weights
        self.wiring = wiring
    }

    func read() throws(CheckpointError) -> Parts {
        try checkFolder()
        let text = try SmallFile.read(indexPath, limit: SmallFile.configurationLimit)
        let fields = try fields(text, at: indexPath)
        let className: String
        do { className = try fields.string("_class_name") } catch { throw .json(path: indexPath, error) }
        guard let family = PipelineFamily.of(className) else {
            throw .unsupportedPipeline(
                path: indexPath, found: className, supported: PipelineFamily.supported.flatMap(\.classNames),
                reason: PipelineFamily.refusals[className])
        }
        var parts = Parts(path: path, className: className)
        parts.smallFiles.append(SmallFile(path: "model_index.json", bytes: text))
        if let identity = FileIdentity(path: indexPath) { parts.identities.append(identity) }
        for (rule, className) in try components(fields.object, of: family) { try read(rule, className: className, into: &parts) }
        try ControlReader.join(&parts, wiring: wiring)
        if let variant, !parts.components.contains(where: { $0.variant == variant }) {
            let found = parts.components.flatMap { component in component.files.map { Paths.join(component.name, Paths.name(of: $0.path)) } }
            throw .noSuchVariant(folder: path, variant: variant, found: found)
        }
        for component in files.keys.sorted() + folders.keys.sorted() where !parts.components.contains(where: { $0.name == component }) {
            throw .noSuchComponent(path: path, component: component)
        }
        parts.smallFiles.sort { ExactString($0.path) < ExactString($1.path) }
        return parts
    }

    /// The folder must hold model_index.json; what it might be instead is said.
    private func checkFolder() throws(CheckpointError) {
        guard Paths.isDirectory(path) else { throw .notAFolder(path: path, found: Paths.exists(path) ? "a file" : "nothing") }
        guard !Paths.exists(indexPath) else { return }
        let configurationPath = Paths.join(path, "config.json")
        if Paths.exists(configurationPath), let text = try? SmallFile.read(configurationPath, limit: SmallFile.configurationLimit),
            let value = try? JSONValue.parse(text), let name = value["_class_name"]?.string ?? value["architectures"]?.array?.first?.string
        {
            throw .componentOnly(path: path, className: name)
        }
        throw .noModelIndex(path: path, found: try entries(of: path))
    }

    private func entries(of folder: String) throws(CheckpointError) -> [String] {
        do { return try Paths.entries(of: folder) } catch { throw .file(error) }
    }

    private func fields(_ text: [UInt8], at path: String) throws(CheckpointError) -> JSONFields {
        do { return try JSONFields(try JSONValue.parse(text, maximumDepth: 16), subject: Paths.name(of: path)) } catch { throw .json(path: path, error) }
    }

    /// The components that `model_index.json` has, in the family's order. Its members are [library, class], [null, null] for a component
    /// that is left out, or settings of the pipeline, which are no arrays.
    private func components(_ index: JSONObject, of family: PipelineFamily) throws(CheckpointError) -> [(ComponentRule, String)] {
        var result: [(ComponentRule, String)] = []
        for (key, value) in index.members where !key.utf8.starts(with: "_".utf8) {
            guard let pair = value.array, !(pair.count == 2 && pair.allSatisfy(\.isNull)) else { continue }
            let rule = family.components.first { ExactString($0.name) == ExactString(key) }
            guard pair.count == 2, pair[0].string != nil, let className = pair[1].string, let rule, rule.classNames.contains(className) else {
                throw .unsupportedComponent(path: indexPath, component: key, found: value.text, supported: rule?.classNames ?? [])
            }
            result.append((rule, className))
        }
        // A control network may stand beside a pipeline that knows of none.
        if let rule = family.components.first(where: { $0.name == ControlReader.name }), files[rule.name] ?? folders[rule.name] != nil,
            !result.contains(where: { $0.0.name == rule.name })
        {
            result.append((rule, rule.classNames[0]))
        }
        return family.components.flatMap { rule in result.filter { $0.0.name == rule.name } }
    }

    private func read(_ rule: ComponentRule, className: String, into parts: inout Parts) throws(CheckpointError) {
        if rule.name == ControlReader.name, let file = files[rule.name] {
            return parts.components.append(try ControlReader.read(file, rule, className: className, beside: parts, weights: weights))
        }
        let folder = folders[rule.name] ?? Paths.join(path, rule.name)
        guard Paths.isDirectory(folder) else {
            guard folders[rule.name] == nil else {
                throw .notAComponent(path: folder, component: rule.name, found: Paths.exists(folder) ? "a file" : "nothing")
            }
            throw .missingComponent(path: path, component: rule.name)
        }
        let names = try entries(of: folder)
        let isTokenizer = rule.name == "tokenizer"
        for name in [rule.configuration] + rule.others where names.contains(where: { ExactString($0) == ExactString(name) }) {
            let file = Paths.join(folder, name)
            let bytes = try SmallFile.read(file, limit: isTokenizer && name != rule.configuration ? SmallFile.tokenizerLimit : SmallFile.configurationLimit)
            parts.smallFiles.append(SmallFile(path: Paths.join(rule.name, name), bytes: bytes))
            if let identity = FileIdentity(path: file) { parts.identities.append(identity) }
            guard parts.smallFiles.reduce(0, { $0 + UInt64($1.bytes.count) }) <= SmallFile.totalLimit else {
                throw .smallFilesTooLarge(path: path, limit: SmallFile.totalLimit)
            }
        }
        if isTokenizer && !names.contains("tokenizer.json") { throw .missingTokenizer(path: folder) }
        let configuration = try configuration(rule, className: className, folder: folder, from: parts.smallFiles)
        if let file = files[rule.name] {
            let original = try OriginalFile.open(file, component: rule.name, configuration: configuration, weights: weights)
            parts.components.append(
                try CheckpointComponent(
                    rule: rule, className: className, folder: file, configuration: configuration, files: original.files, variant: nil,
                    omissions: original.omissions))
            return
        }
        let weights = try weights(rule, folder: folder, names: names)
        let component = try CheckpointComponent(
            rule: rule, className: className, folder: folder, configuration: configuration, files: weights.files, variant: weights.variant)
        parts.components.append(component)
    }

    /// The component's configuration; its class, where it gives one, must be one that the component can have.
    private func configuration(
        _ rule: ComponentRule, className: String, folder: String, from files: [SmallFile]
    ) throws(CheckpointError) -> JSONValue {
        let path = Paths.join(folder, rule.configuration)
        guard let file = files.first(where: { $0.path == Paths.join(rule.name, rule.configuration) }) else {
            // A tokenizer is complete without it.
            if rule.name == "tokenizer" { return .object(JSONObject()) }
            throw .missingConfiguration(path: path)
        }
        let fields = try fields(file.bytes, at: path)
        let declared = fields.value("_class_name") ?? fields.value("architectures")?.array?.first ?? fields.value("tokenizer_class")
        if let declared, rule.name != "tokenizer", !rule.classNames.contains(where: { declared.string == $0 }) {
            throw .classMismatch(path: path, expected: rule.classNames, found: declared.text)
        }
        return .object(fields.object)
    }

    private func weights(
        _ rule: ComponentRule, folder: String, names: [String]
    ) throws(CheckpointError) -> (files: [any TensorFile], variant: String?) {
        guard let base = rule.weights else { return ([], nil) }
        let choice = try WeightFiles.choose(from: names, base: base, variant: variant, folder: folder)
        switch choice.source {
        case .single(let name): return ([try SafetensorsFile.opened(Paths.join(folder, name))], choice.variant)
        case .index(let name): return (try ShardIndex(path: Paths.join(folder, name)).open(in: folder), choice.variant)
        }
    }
}
