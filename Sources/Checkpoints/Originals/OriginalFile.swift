import Files
import Safetensors
import StrictJSON
import Tensors
import TorchFiles

/// Weights of one component from a file outside its folder: of torch.save or safetensors, alone or an index of shards, in the names of diffusers or
/// of those who published them. What it is, its content says.
struct OriginalFile {
    let path: String
    let component: String
    let files: [any TensorFile]
    let omissions: [Omission]
    /// What the tensors say of the transformer's configuration; nil where the names are diffusers', and of other components.
    let decided: JSONObject?
    /// How tensors are read, where it is not as they are.
    let notes: [String]
    /// Whether its names are those of the model's authors.
    let isOriginal: Bool

    /// - Parameter configuration: of the component, for what the names do not say.
    static func open(_ path: String, component: String, configuration: JSONValue, weights: WeightsChoice) throws(CheckpointError) -> OriginalFile {
        guard !Paths.isDirectory(path) else { throw .weightsAreAFolder(path: path, component: component) }
        let (stored, omissions) = try stored(path, component: component, weights: weights)
        // Scales have no place in the tables of names.
        let (files, leftOut, notes) = try EightBitFloats.widened(stored, component: component)
        let tensors = files.flatMap(\.tensors)
        if AdapterFile.isAdapter(tensors.map(\.name)) { throw .otherModel(path: path, found: "an adapter", advice: "give it with --lora") }
        let names = NamePrefixes.stripped(tensors.map(\.name))
        let renaming = try Renamer(path: path, component: component, names: names, configuration: configuration)
        var rest = names[...]
        var renamed: [any TensorFile] = []
        var omitted = omissions + leftOut
        for file in files {
            var pieces: [TensorPiece] = []
            for tensor in file.tensors {
                let name = rest.removeFirst()
                if let reason = renaming.omissionReason(name) {
                    omitted.append(Omission(component: component, name: tensor.name, reason: reason))
                } else {
                    pieces += try renaming.pieces(of: tensor, name: name)
                }
            }
            renamed.append(try RenamedFile(file, pieces: pieces))
        }
        return OriginalFile(
            path: path, component: component, files: renamed, omissions: omitted, decided: renaming.decided(by: names), notes: notes,
            isOriginal: renaming.isOriginal)
    }

    /// The file's tensors under its own names.
    private static func stored(
        _ path: String, component: String, weights: WeightsChoice
    ) throws(CheckpointError) -> (files: [any TensorFile], omissions: [Omission]) {
        switch try WeightFileKind(path) {
        case .torch:
            let file: TorchFile
            do { file = try TorchFile.open(path) } catch { throw .torch(error) }
            let container = try weights.container(of: file)
            return ([TorchStateDict(file, container)], siblings(of: container, in: file, component: component))
        case .legacyTorch: throw .legacyTorch(path: path)
        case .shardIndex where weights == .model: return (try ShardIndex(path: path).open(in: Paths.parent(of: path)), [])
        case .safetensors where weights == .model: return ([try SafetensorsFile.opened(path)], [])
        case .shardIndex, .safetensors: throw .noSuchWeights(path: path, weights: weights.rawValue, expected: weights.containers, found: [""])
        }
    }

    /// What else the file's own dictionary has.
    private static func siblings(of container: TorchContainer, in file: TorchFile, component: String) -> [Omission] {
        guard !container.path.isEmpty else {
            return container.otherKeys.map { Omission(component: component, name: $0, reason: reason(forSibling: $0)) }
        }
        return file.topLevelKeys.filter { $0 != container.path }.map { Omission(component: component, name: $0, reason: reason(forSibling: $0)) }
    }

    private static func reason(forSibling key: String) -> String {
        switch key {
        case "state_dict_ema", "ema": "the average of the weights over the training, which --weights ema takes"
        case "state_dict": "the weights of the last step, which --weights model takes"
        case "optimizer", "scheduler": "what the training would go on from"
        case "rng_state": "states of random generators"
        default: "no weights of the model"
        }
    }
}

/// What a file of weights is, by its first bytes.
enum WeightFileKind {
    case torch, legacyTorch, shardIndex, safetensors

    init(_ path: String) throws(CheckpointError) {
        let prefix: [UInt8]
        do {
            let file = try InputFile(path: path)
            prefix = try file.bytes(at: 0, count: Int(min(file.size, UInt64(FileKind.prefixByteCount))))
        } catch { throw .file(error) }
        switch FileKind(prefix: prefix) {
        case .zip: self = .torch
        case .pickle: self = .legacyTorch
        case .json: self = .shardIndex
        // A safetensors file, or what its reader says that it looks like.
        default: self = .safetensors
        }
    }
}

/// How one component's names become those of diffusers.
private struct Renamer {
    private enum Names {
        case diffusers
        case transformer(embedsGuidance: Bool)
        case control
        case autoencoder(AutoencoderNames)
    }

    private let path: String
    private let component: String
    private let names: Names

    init(path: String, component: String, names: [String], configuration: JSONValue) throws(CheckpointError) {
        self.path = path
        self.component = component
        func has(_ name: String) -> Bool { names.contains { ExactString($0) == ExactString(name) } }
        switch component {
        case "transformer":
            for relative in TransformerNames.relatives where names.contains(where: { $0.hasPrefix(relative.prefix) }) {
                throw .otherModel(path: path, found: relative.what, advice: relative.advice)
            }
            if has(TransformerNames.diffusersMark) {
                self.names = .diffusers
            } else if has(TransformerNames.originalMark) {
                self.names = .transformer(embedsGuidance: TransformerNames.embedsGuidance(names))
            } else if AutoencoderNames.isOriginal(names) || has(AutoencoderNames.diffusersMark) {
                throw .otherModel(path: path, found: "an autoencoder", advice: "give it with --vae")
            } else {
                throw .unknownNames(path: path, component: component, expected: [TransformerNames.originalMark, TransformerNames.diffusersMark], found: names)
            }
        case ControlReader.name:
            if has(ControlNames.diffusersMark) {
                self.names = .diffusers
            } else if has(ControlNames.originalMark) {
                self.names = .control
            } else if has(TransformerNames.originalMark) || has(TransformerNames.diffusersMark) {
                throw .otherModel(path: path, found: "a transformer", advice: "give it with --transformer")
            } else {
                throw .unknownNames(path: path, component: component, expected: [ControlNames.originalMark, ControlNames.diffusersMark], found: names)
            }
        default:
            if has(AutoencoderNames.diffusersMark) {
                self.names = .diffusers
            } else if AutoencoderNames.isOriginal(names) {
                self.names = .autoencoder(AutoencoderNames(configuration: configuration))
            } else if has(TransformerNames.originalMark) || has(TransformerNames.diffusersMark) {
                throw .otherModel(path: path, found: "a transformer", advice: "give it with --transformer")
            } else {
                throw .unknownNames(
                    path: path, component: component, expected: ["decoder.project_in.main.conv.weight", AutoencoderNames.diffusersMark], found: names)
            }
        }
    }

    func decided(by names: [String]) -> JSONObject? {
        if case .transformer = self.names { TransformerMembers.decided(by: names) } else { nil }
    }
    var isOriginal: Bool { if case .diffusers = names { false } else { true } }

    func omissionReason(_ name: String) -> String? {
        switch names {
        case .transformer: TransformerNames.omitted[name]
        case .control: ControlNames.omissionReason(name)
        case .diffusers, .autoencoder: nil
        }
    }

    func pieces(of source: StoredTensor, name: String) throws(CheckpointError) -> [TensorPiece] {
        switch names {
        case .diffusers: [TensorPiece(name: name, source: source)]
        case .transformer(let embedsGuidance): try TransformerNames.pieces(of: source, name: name, path: path, embedsGuidance: embedsGuidance)
        case .control: try ControlNames.pieces(of: source, name: name, path: path)
        case .autoencoder(let names): try names.pieces(of: source, name: name, path: path)
        }
    }
}
