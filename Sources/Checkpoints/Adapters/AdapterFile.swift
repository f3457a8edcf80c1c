import Files
import Safetensors
import StrictJSON
import Tensors
import TorchFiles

/// An adapter as its file has it, before any checkpoint is looked at: pairs of small matrices by the names of the modules that they are added to.
package struct AdapterFile: Sendable {
    package let path: String
    let file: any TensorFile
    /// PEFT's `adapter_config.json` beside it, where that is its format.
    let settingsFile: InputFile?
    let modules: [Module]
    /// What cannot be added to any checkpoint.
    package let problems: [AdapterProblem]
    /// By the model's key in `model_index.json`; "" for settings of whatever model.
    private let settings: [String: AdapterSettings]
    /// What the header says where neither settings nor a tensor do, with the name it is under.
    private let headerAlpha: (name: String, text: String)?

    /// What is added to one module, by the name that the file gives it.
    struct Module: Sendable {
        let name: String
        var parts: [AdapterNames.Part: StoredTensor] = [:]
    }

    private static let fileNames = ["adapter_model", "pytorch_lora_weights"].flatMap { ["\($0).safetensors", "\($0).bin"] }
    /// Of diffusers: JSON in the header.
    private static let settingsKey = "lora_adapter_metadata"
    private static let headerAlphaKeys = ["lora_alpha", "network_alpha", "ss_network_alpha", "alpha"]

    /// Whether tensors of these names are an adapter's.
    package static func isAdapter(_ names: [String]) -> Bool {
        names.contains { name in
            switch AdapterNames.meaning(of: name) {
            case .part(.down, _), .part(.up, _), .other: true
            default: false
            }
        }
    }

    /// Opens a file of safetensors or torch, or the one in a folder of PEFT or diffusers.
    package static func open(_ path: String) throws(CheckpointError) -> AdapterFile {
        var path = path
        if Paths.isDirectory(path) {
            let folder = path
            guard let name = fileNames.first(where: { Paths.exists(Paths.join(folder, $0)) }) else {
                throw .adapterFolder(path: path, expected: fileNames)
            }
            path = Paths.join(path, name)
        } else if !Paths.exists(path), let sign = path.lastIndex(of: "="), Paths.exists(String(path[..<sign])) {
            throw .adapterWeight(path: String(path[..<sign]), found: String(path[path.index(after: sign)...]))
        }
        switch try WeightFileKind(path) {
        case .safetensors:
            let file = try SafetensorsFile.opened(path)
            return try AdapterFile(file, metadata: file.header.metadata)
        case .torch:
            let file: TorchFile
            do { file = try TorchFile.open(path) } catch { throw .torch(error) }
            return try AdapterFile(TorchStateDict(file, WeightsChoice.model.container(of: file)), metadata: [])
        case .legacyTorch: throw .legacyTorch(path: path)
        case .shardIndex: throw .adapterFolder(path: path, expected: fileNames)
        }
    }

    private init(_ file: any TensorFile, metadata: [(key: String, value: String)]) throws(CheckpointError) {
        func header(_ key: String) -> String? { metadata.first { ExactString($0.key) == ExactString(key) }?.value }
        let said = try Self.settings(of: file.path, header: header(Self.settingsKey))
        let found = Self.modules(of: file)
        (path, self.file, settings, settingsFile) = (file.path, file, said.settings, said.file)
        (modules, problems) = (found.modules, said.problems + found.problems)
        headerAlpha = Self.headerAlphaKeys.lazy.compactMap { key in header(key).map { (key, $0) } }.first
    }

    private struct Settings {
        var settings: [String: AdapterSettings] = [:]
        var file: InputFile?
        var problems: [AdapterProblem] = []

        /// diffusers puts the model's name before every setting, where the file is of a pipeline.
        mutating func read(_ text: [UInt8], subject: String) throws(JSONError) {
            let all = try JSONFields(JSONValue.parse(text, maximumDepth: 16, maximumValues: 1 << 20), subject: subject)
            var groups: [String: JSONObject] = [:]
            for (key, value) in all.object.members {
                let model = ["transformer", "text_encoder"].first { key.hasPrefix($0 + ".") } ?? ""
                groups[model, default: JSONObject()][String(model.isEmpty ? key[...] : key.dropFirst(model.count + 1))] = value
            }
            for (model, object) in groups.sorted(by: { $0.key < $1.key }) {
                let fields = try JSONFields(.object(object), subject: model.isEmpty ? subject : "\(subject): \(model)")
                settings[model] = try AdapterSettings(fields, problems: &problems)
            }
        }
    }

    /// Settings in the header, or beside a file of PEFT's name.
    private static func settings(of path: String, header: String?) throws(CheckpointError) -> Settings {
        var settings = Settings()
        if let header {
            do { try settings.read(Array(header.utf8), subject: settingsKey) } catch { throw .json(path: path, error) }
            return settings
        }
        let beside = Paths.join(Paths.parent(of: path), "adapter_config.json")
        guard Paths.name(of: path).hasPrefix("adapter_model."), Paths.exists(beside) else { return settings }
        let text: [UInt8]
        do {
            let file = try InputFile(path: beside)
            text = try file.contents(limit: SmallFile.configurationLimit)
            settings.file = file
        } catch { throw .file(error) }
        do { try settings.read(text, subject: "adapter_config.json") } catch { throw .json(path: beside, error) }
        return settings
    }

    private static func modules(of file: any TensorFile) -> (modules: [Module], problems: [AdapterProblem]) {
        var (modules, places, problems): ([Module], [ExactString: Int], [AdapterProblem]) = ([], [:], [])
        var kinds: Set<String> = []
        for tensor in file.tensors {
            switch AdapterNames.meaning(of: tensor.name) {
            case .part(let part, let name):
                let place = places[ExactString(name)] ?? modules.count
                if place == modules.count {
                    places[ExactString(name)] = place
                    modules.append(Module(name: name))
                }
                if modules[place].parts.updateValue(tensor, forKey: part) != nil { problems.append(.stranger(tensor: tensor.name)) }
            case .other(let kind):
                // One of each kind tells enough.
                if kinds.insert(kind).inserted { problems.append(.otherKind(tensor: tensor.name, kind: kind)) }
            case nil: problems.append(.stranger(tensor: tensor.name))
            }
        }
        return (modules, problems)
    }

    func settings(of component: String) -> AdapterSettings? { settings[component] ?? settings[""] }

    /// The alpha of a module that nothing else says it of, with what said it; nil where it is the rank.
    func alphaOfHeader() -> (name: String, value: Double?)? { headerAlpha.map { ("header: \($0.name)", Double($0.text)) } }

    /// The one element of a tensor.
    func number(_ tensor: StoredTensor) throws(CheckpointError) -> Double? {
        guard tensor.shape.elementCount == 1, [.f16, .bf16, .f32, .f64].contains(tensor.dtype) else { return nil }
        let stored: EncodedTensor
        do { stored = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape) } catch { throw .machine(error) }
        // The buffer has just been made: nobody else reads or writes it.
        unsafe try file.read(tensor, range: 0..<tensor.byteCount, into: stored.buffer.mutableBytes)
        let values: Tensor
        do { values = try stored.widened() } catch { throw .machine(error) }
        return Double(values.span[0])
    }
}

// MARK: - For people

extension AdapterFile {
    /// What it is: "DoRA, rank 4 to 16, 24 modules".
    package var summary: String {
        let ranks = modules.compactMap { $0.parts[.down]?.shape.rows }
        let kind = modules.contains { $0.parts[.magnitude] != nil || $0.parts[.doraScale] != nil } ? "DoRA" : "LoRA"
        guard let least = ranks.min(), let most = ranks.max() else { return "no LoRA" }
        return "\(kind), rank \(least == most ? "\(least)" : "\(least) to \(most)"), \(modules.count) modules"
    }

    /// What says the alphas, where anything does.
    package var alphaText: String {
        if modules.contains(where: { $0.parts[.alpha] != nil }) { return "a tensor for each module" }
        if !settings.isEmpty { return settings.values.map(\.alphaText).sorted().joined(separator: "; ") }
        return headerAlpha.map { "\($0.text) (header: \($0.name))" } ?? "none: the rank"
    }

    /// The modules' names with N for the first number in each, and how often each comes.
    package var targets: [(name: String, count: Int)] {
        var targets: [(name: String, count: Int)] = []
        for module in modules {
            let name = Self.withoutNumber(module.name)
            let index = targets.firstIndex { $0.name == name } ?? targets.endIndex
            if index == targets.endIndex { targets.append((name, 0)) }
            targets[index].count += 1
        }
        return targets
    }

    private static func withoutNumber(_ name: String) -> String {
        // What ends a name belongs to it: "linear_1", "to_out.0".
        let words = name.split { $0 == "." || $0 == "_" }.dropLast()
        guard let number = words.first(where: { $0.allSatisfy(\.isNumber) }) else { return name }
        return name[..<number.startIndex] + "N" + name[number.endIndex...]
    }
}
