package import Files
package import Safetensors
package import StrictJSON
package import Tensors
package import TorchFiles

/// Why a checkpoint folder could not be read.
package enum CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
    case file(FileError)
    case safetensors(SafetensorsError)
    case torch(TorchFileError)
    case json(path: String, JSONError)
    case machine(MachineError)

    // The folder.
    case notAFolder(path: String, found: String)
    case noModelIndex(path: String, found: [String])
    /// A folder of the Hugging Face hub's cache, with the snapshots in it that hold a checkpoint.
    case hubCache(path: String, snapshots: [String])
    /// No file or folder, but what the hub calls a repository.
    case repositoryID(String)
    /// The authors' own files where a diffusers folder was expected.
    case originalFolder(path: String, found: [String])
    case componentOnly(path: String, className: String)
    case unsupportedPipeline(path: String, found: String, supported: [String], reason: String?)
    case unsupportedComponent(path: String, component: String, found: String, supported: [String])
    case missingComponent(path: String, component: String)
    case missingConfiguration(path: String)
    case classMismatch(path: String, expected: [String], found: String)
    case missingTokenizer(path: String)
    case smallFilesTooLarge(path: String, limit: UInt64)

    // The weight files of one component.
    case noWeights(folder: String, expected: String, found: [String])
    case unsafeWeights(folder: String, found: [String])
    case ggufWeights(folder: String, found: [String])
    case ambiguousVariants(folder: String, found: [String], variants: [String])
    case singleAndSharded(folder: String, found: [String])
    case noSuchVariant(folder: String, variant: String, found: [String])
    case missingIndex(folder: String, expected: String, shards: [String])

    // A shard index.
    case shardName(index: String, tensor: String, found: String)
    case tooManyShards(index: String, limit: Int, found: Int)
    case missingShards(index: String, shards: [String])
    /// `missing`: listed, but not in the shard that the index names. `unlisted`: in a shard, but not listed for it.
    case indexDisagrees(index: String, missing: [TensorPlace], unlisted: [TensorPlace])

    // Weights in files outside the folder.
    case noSuchComponent(path: String, component: String)
    case notAComponent(path: String, component: String, found: String)
    case fileWithoutFolder(path: String)
    case twoFolders(path: String, base: String)
    case weightsAreAFolder(path: String, component: String)
    case legacyTorch(path: String)
    /// The file has no dictionary of tensors under one of the keys.
    case noSuchWeights(path: String, weights: String, expected: [String], found: [String])
    case unknownNames(path: String, component: String, expected: [String], found: [String])
    /// The file holds weights of something else.
    case otherModel(path: String, found: String, advice: String)
    case splitRows(path: String, tensor: String, parts: Int, shape: Shape)
    /// A model before distillation, over the folder of one after it: nothing says how it counts times.
    case noTimeScale(path: String)
    case timeScaleOfSprint(path: String)

    // Adapters.
    case adapterFolder(path: String, expected: [String])
    case adapterWeight(path: String, found: String)
    /// Everything that keeps an adapter from being added.
    case adapter(path: String, problems: [AdapterProblem])

    // Tensors.
    case nameCollision(folder: String, tensor: String, stored: [String])
    case missingTensor(folder: String, tensor: String)
    case eightBitScale(path: String, weight: String, scale: String, rows: Int, dtype: DType, shape: Shape)
    /// A pattern of names to leave out that fits none.
    case nothingIgnored(path: String, pattern: String)

    /// A tensor and the file that has it, or should have it.
    package struct TensorPlace: Sendable, Equatable {
        let tensor: String
        let file: String

        init(tensor: String, file: String) {
            self.tensor = tensor
            self.file = file
        }
    }

    package var description: String {
        switch self {
        case .file(let error): return "\(error)"
        case .safetensors(let error): return "\(error)"
        case .torch(let error): return "\(error)"
        case .json(let path, let error): return "\(path): \(error)"
        case .machine(let error): return "\(error)"
        case .notAFolder(let path, let found):
            return "\(path): expected the folder of a diffusers checkpoint, found \(found); give the folder that holds model_index.json"
        case .noModelIndex(let path, let found):
            return "\(path): expected model_index.json, found \(Self.list(found)); give the folder of a diffusers checkpoint"
        case .hubCache(let path, let snapshots):
            let advice =
                snapshots.isEmpty ? "it holds no snapshot of a checkpoint: download one with \"hf download ORG/NAME\"" : "give \(Self.choice(snapshots))"
            return "\(path): expected the folder of a diffusers checkpoint, found a folder of the hub's cache, whose checkpoints lie in snapshots; \(advice)"
        case .repositoryID(let name):
            return "\(name): expected the folder of a diffusers checkpoint, found no such folder; if it is the name of a repository, download that first: "
                + "hf download \(name) --local-dir \(Paths.name(of: name))"
        case .originalFolder(let path, let found):
            return
                "\(path): expected model_index.json, found weights of the authors (\(Self.list(found))); convert such a file with --base and the folder of a "
                + "diffusers checkpoint: sprintpack convert FILE --base FOLDER -o OUT.sprint"
        case .componentOnly(let path, let className):
            return "\(path): expected a whole checkpoint, found one component of it (\(className.quoted)); "
                + "give the folder above, which holds model_index.json"
        case .unsupportedPipeline(let path, let found, let supported, let reason):
            return "\(path): _class_name: expected \(Self.choice(supported)), found \(found.quoted)\(reason.map { "; \($0)" } ?? "")"
        case .unsupportedComponent(let path, let component, let found, let supported):
            let expected = supported.isEmpty ? "no such component" : Self.choice(supported)
            return "\(path): \(component.quoted): expected \(expected), found \(found)"
        case .missingComponent(let path, let component):
            return "\(path): expected the component \(component.quoted), which model_index.json lists, found nothing; fetch it, "
                + "name what is wanted without it (convert --components), or set it to [null, null] in model_index.json"
        case .missingConfiguration(let path): return "\(path): expected the component's configuration, found nothing; fetch it"
        case .classMismatch(let path, let expected, let found):
            return "\(path): expected the class \(Self.choice(expected)), found \(found)"
        case .missingTokenizer(let path):
            return "\(path): expected tokenizer.json, found none; write it with save_pretrained of the fast tokenizer"
        case .smallFilesTooLarge(let path, let limit):
            return "\(path): expected at most \(limit) bytes of configuration and tokenizer files, found more"
        case .noWeights(let folder, let expected, let found):
            return "\(folder): expected \(expected) or its index, found \(Self.list(found))"
        case .unsafeWeights(let folder, let found):
            return "\(folder): expected safetensors, found \(Self.list(found)), which can run any code when Python loads them; "
                + "name a transformer's or autoencoder's with --transformer or --vae, which runs nothing, "
                + "or convert to safetensors first (save_pretrained with safe_serialization=True)"
        case .ggufWeights(let folder, let found):
            return "\(folder): expected safetensors, found \(Self.list(found)), which a GGUF program has quantized; give the safetensors that it was made from"
        case .ambiguousVariants(let folder, let found, let variants):
            return "\(folder): expected one set of weights, found \(Self.list(found)); choose with --variant \(variants.joined(separator: " or --variant "))"
        case .singleAndSharded(let folder, let found):
            return "\(folder): expected one file or one index, found both: \(Self.list(found)); remove the one that is out of date"
        case .noSuchVariant(let folder, let variant, let found):
            return "\(folder): expected weights of the variant \(variant.quoted), found \(Self.list(found))"
        case .missingIndex(let folder, let expected, let shards):
            return "\(folder): expected \(expected) beside the shards, found only \(Self.list(shards)); fetch the index"
        case .shardName(let index, let tensor, let found):
            return "\(index): tensor \(tensor.quoted): expected the plain name of a .safetensors file in the same folder, found \(found.quoted)"
        case .tooManyShards(let index, let limit, let found): return "\(index): expected at most \(limit) shards, found \(found)"
        case .missingShards(let index, let shards):
            return "\(index): expected the shards it names, found no \(Self.list(shards)); fetch them again"
        case .indexDisagrees(let index, let missing, let unlisted):
            var parts: [String] = []
            if !missing.isEmpty { parts.append("not in the file that the index names: \(Self.list(missing))") }
            if !unlisted.isEmpty { parts.append("in a file that the index does not name for it: \(Self.list(unlisted))") }
            return "\(index): expected every tensor where the index says, found tensors \(parts.joined(separator: "; ")); "
                + "index and shards are of different versions, fetch them again"
        case .noSuchComponent(let path, let component):
            return "\(path): expected the component \(component.quoted), which is to come from elsewhere, found none in model_index.json; give another folder"
        case .notAComponent(let path, let component, let found):
            return "\(path): expected the folder of a \(component) with its config.json, found \(found); give the folder that holds the model"
        case .fileWithoutFolder(let path):
            return "\(path): expected the folder of a diffusers checkpoint, found a file; a file of weights needs --base with such a folder, "
                + "which gives configurations, tokenizer and the other models: sprintpack convert FILE --base FOLDER -o OUT.sprint"
        case .twoFolders(let path, let base): return "\(path): expected a file of weights beside --base \(base), found a folder; give one of the two"
        case .weightsAreAFolder(let path, let component):
            return "\(path): expected a file of the \(component)'s weights, found a folder; give a file in it (of FSDP: model/pytorch_model_fsdp.bin)"
        case .legacyTorch(let path):
            return "\(path): expected a zip archive, as torch.save writes since version 1.6, found a bare pickle; "
                + "load it in Python with weights_only=True and save it again"
        case .noSuchWeights(let path, let weights, let expected, let found):
            return "\(path): --weights \(weights): expected tensors in \(Self.choice(expected.map(Self.place))), "
                + "found \(found.isEmpty ? "none anywhere" : "them in \(Self.sample(found.map(Self.place)))")"
        case .unknownNames(let path, let component, let expected, let found):
            return "\(path): expected weights of the \(component), with a tensor \(Self.choice(expected.map(\.quoted))), found \(Self.list(found)); "
                + "give a file in the names of diffusers or of the model's authors"
        case .otherModel(let path, let found, let advice): return "\(path): expected weights of SANA-Sprint, found \(found); \(advice)"
        case .splitRows(let path, let tensor, let parts, let shape):
            return "\(path): tensor \(tensor.quoted): expected rows in \(parts) equal parts, found \(shape); the file is of another model"
        case .noTimeScale(let path):
            return "\(path): expected --time-scale, since the file is of a model before distillation (no embedding of guidance) and does not say how it "
                + "counts times, found none; give --time-scale 1000 for SANA and SANA-1.5, --time-scale 1 for a teacher of SANA-Sprint"
        case .timeScaleOfSprint(let path):
            return "\(path): --time-scale: expected a model before distillation, found SANA-Sprint, whose times end at 1; leave the option away"
        case .adapterFolder(let path, let expected):
            return "\(path): expected a file of an adapter's tensors, or a folder with \(Self.choice(expected)), found neither"
        case .adapterWeight(let path, let found):
            return "\(path): expected a number behind the =, the weight of the adapter, found \(found.quoted)"
        case .adapter(let path, let problems):
            let more = problems.count > 20 ? ["  and \(problems.count - 20) more"] : []
            return (["\(path): the adapter does not fit:"] + problems.prefix(20).map { "  \($0)" } + more).joined(separator: "\n")
        case .nameCollision(let folder, let tensor, let stored):
            return "\(folder): tensor \(tensor.quoted): expected it once, found \(Self.list(stored))"
        case .eightBitScale(let path, let weight, let scale, let rows, let dtype, let shape):
            return "\(path): tensor \(scale.quoted): expected one scale for \(weight.quoted), or \(rows), one for each row, in F16, BF16 or F32, found "
                + "\(dtype.rawValue) \(shape); dequantize the weights in the program that wrote them, or give the original"
        case .nothingIgnored(let path, let pattern):
            return "\(path): --ignore \(pattern): expected names of tensors that it fits, found none; `sprintpack inspect --tensors` lists them"
        case .missingTensor(let folder, let tensor): return "\(folder): expected a tensor \(tensor.quoted), found none of this name"
        }
    }

    /// Names for a message: the first twenty, and how many there are.
    private static func list(_ names: [String]) -> String {
        guard !names.isEmpty else { return "nothing" }
        let shown = names.prefix(20).map(\.quoted).joined(separator: ", ")
        return names.count > 20 ? "\(shown) and \(names.count - 20) more" : shown
    }

    private static func list(_ places: [TensorPlace]) -> String { list(places.map { "\($0.tensor) (\($0.file))" }) }

    private static func place(_ container: String) -> String { container.isEmpty ? "the file's own dictionary" : container.quoted }

    private static func sample(_ places: [String]) -> String {
        places.prefix(6).joined(separator: ", ") + (places.count > 6 ? " and \(places.count - 6) more" : "")
    }

    private static func choice(_ names: [String]) -> String { names.joined(separator: " or ") }
}
