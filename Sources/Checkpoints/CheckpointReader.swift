import Files
import Safetensors
import StrictJSON

/// Opens a checkpoint folder; Formats/checkpoint.md is the list of what it enforces.
struct CheckpointReader {
    /// The folder, with what is taken from elsewhere.
    let source: CheckpointSource
    private var path: String { source.path }
    private var indexPath: String { Paths.join(path, "model_index.json") }

    struct Parts {
        var path: String
        var className: String
        var components: [CheckpointComponent] = []
        var smallFiles: [SmallFile] = []
        var identities: [FileIdentity] = []
        var adapters: [Adapter] = []
        /// Of components that are not there.
        var omissions: [Omission] = []
        var ignored: [Glob] = []
    }

    init(_ source: CheckpointSource) { self.source = source }

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
        for (rule, className) in try components(fields.object, of: family) {
            do throws(CheckpointError) { parts = try reading(rule, className: className, into: parts) } catch {
                // What is not wanted need not be there, nor be right.
                guard let wanted = source.wanted, !wanted.contains(rule.name) else { throw error }
                parts.omissions.append(Omission(component: rule.name, name: rule.name, reason: "not wanted, and not read: \(error)"))
            }
        }
        try ControlReader.join(&parts, wiring: source.wiring)
        parts.ignored = source.ignored
        if let variant = source.variant, !parts.components.contains(where: { $0.variant == variant }) {
            let found = parts.components.flatMap { component in component.files.map { Paths.join(component.name, Paths.name(of: $0.path)) } }
            throw .noSuchVariant(folder: path, variant: variant, found: found)
        }
        for component in source.files.keys.sorted() + source.folders.keys.sorted() where !parts.components.contains(where: { $0.name == component }) {
            throw .noSuchComponent(path: path, component: component)
        }
        parts.smallFiles.sort { ExactString($0.path) < ExactString($1.path) }
        return parts
    }

    /// The folder must hold model_index.json; what it might be instead is said.
    private func checkFolder() throws(CheckpointError) {
        guard Paths.isDirectory(path) else {
            if !Paths.exists(path), HubCache.isRepositoryID(path) { throw .repositoryID(path) }
            throw .notAFolder(path: path, found: Paths.exists(path) ? "a file" : "nothing")
        }
        guard !Paths.exists(indexPath) else { return }
        let configurationPath = Paths.join(path, "config.json")
        if Paths.exists(configurationPath), let text = try? SmallFile.read(configurationPath, limit: SmallFile.configurationLimit),
            let value = try? JSONValue.parse(text), let name = value["_class_name"]?.string ?? value["architectures"]?.array?.first?.string
        {
            throw .componentOnly(path: path, className: name)
        }
        let names = try entries(of: path)
        if let snapshots = HubCache.snapshots(in: path, names) { throw .hubCache(path: path, snapshots: snapshots) }
        let originals = WeightFiles.originals(in: path, names)
        guard originals.isEmpty else { throw .originalFolder(path: path, found: originals) }
        throw .noModelIndex(path: path, found: names)
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
        if let rule = family.components.first(where: { $0.name == ControlReader.name }), source.files[rule.name] ?? source.folders[rule.name] != nil,
            !result.contains(where: { $0.0.name == rule.name })
        {
            result.append((rule, rule.classNames[0]))
        }
        return family.components.flatMap { rule in result.filter { $0.0.name == rule.name } }
    }

    private func reading(_ rule: ComponentRule, className: String, into parts: Parts) throws(CheckpointError) -> Parts {
        var parts = parts
        if rule.name == ControlReader.name, let file = source.files[rule.name] {
            parts.components.append(try ControlReader.read(file, rule, className: className, beside: parts, weights: source.weights))
            return parts
        }
        let folder = source.folders[rule.name] ?? Paths.join(path, rule.name)
        guard Paths.isDirectory(folder) else {
            guard source.folders[rule.name] == nil else {
                throw .notAComponent(path: folder, component: rule.name, found: Paths.exists(folder) ? "a file" : "nothing")
            }
            if let target = Paths.linkTarget(folder) { throw .file(.danglingLink(path: folder, target: target)) }
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
        var configuration = try configuration(rule, className: className, folder: folder, from: parts.smallFiles)
        if let file = source.files[rule.name] {
            let original = try OriginalFile.open(file, component: rule.name, configuration: configuration, weights: source.weights)
            try amend(&configuration, rule, original.decided, path: file, in: &parts)
            parts.components.append(
                try CheckpointComponent(
                    rule: rule, className: className, folder: file, configuration: configuration, files: original.files, variant: nil,
                    omissions: original.omissions, notes: original.notes, ignored: source.ignored))
            return parts
        }
        try amend(&configuration, rule, nil, path: folder, in: &parts)
        let weights = try weights(rule, folder: folder, names: names)
        let component = try CheckpointComponent(
            rule: rule, className: className, folder: folder, configuration: configuration, files: weights.files, variant: weights.variant,
            omissions: weights.unused, ignored: source.ignored)
        parts.components.append(component)
        return parts
    }

    /// Writes what is known otherwise of a transformer into its configuration, also as it is carried along.
    private func amend(
        _ configuration: inout JSONValue, _ rule: ComponentRule, _ decided: JSONObject?, path: String, in parts: inout Parts
    ) throws(CheckpointError) {
        guard rule.name == "transformer", case .object(let members) = configuration,
            let amended = try TransformerMembers(decided: decided, timeScale: source.timeScale).applied(to: members, path: path)
        else { return }
        configuration = .object(amended)
        let name = Paths.join(rule.name, rule.configuration)
        guard let index = parts.smallFiles.firstIndex(where: { $0.path == name }) else { return }
        parts.smallFiles[index] = SmallFile(path: name, bytes: Array(configuration.text.utf8))
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
    ) throws(CheckpointError) -> (files: [any TensorFile], variant: String?, unused: [Omission]) {
        guard let base = rule.weights else { return ([], nil, []) }
        let choice = try WeightFiles.choose(from: names, base: base, variant: source.variant, folder: folder)
        let files: [any TensorFile] =
            switch choice.source {
            case .single(let name): [try SafetensorsFile.opened(Paths.join(folder, name))]
            case .index(let name): try ShardIndex(path: Paths.join(folder, name)).open(in: folder)
            }
        let unused = choice.unused(names, opened: files.map { Paths.name(of: $0.path) }, base: base)
        return (files, choice.variant, unused.map { Omission(component: rule.name, name: $0.name, reason: $0.reason) })
    }
}
