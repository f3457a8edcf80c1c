package import Checkpoints
package import Files
package import Inference
package import PackedFiles
package import Safetensors
package import Tensors

/// Why a checkpoint could not be converted, or a packed file not exported.
package enum ConversionError: Error, Sendable, Equatable, CustomStringConvertible {
    case checkpoint(CheckpointError)
    case packedFile(PackedFileError)
    case safetensors(SafetensorsError)
    case file(FileError)
    case machine(MachineError)
    /// The configuration, the schedule that should be frozen, or the tables of it.
    case inference(InferenceError)
    /// A file whose time and guidance networks were replaced by tables.
    case frozen(tensor: String)
    /// The instruction's keys and values could not be computed.
    case prefixCache(InferenceError)
    /// What the certificate says could not be computed.
    case certificate(String)
    /// How good the file is could not be measured, or is not what was asked for.
    case quality(String)
    /// Everything in which a checkpoint's tensors differ from what its configuration asks for.
    case tensors(path: String, problems: [TensorProblem])
    /// One thing that explains why a component's tensors differ from that.
    case foreignWeights(path: String, expected: String, found: String, advice: String)
    /// A component that was asked for and that the checkpoint lacks, or that cannot be asked for.
    case component(String, message: String)
    case rulesNotUTF8
    /// A goal that no policy reaches: what was expected and found.
    case target(String)
    /// Statistics for a calibration that cannot be used; the message says what would do.
    case statistics(String)
    /// The model could not be run for a calibration.
    case calibration(InferenceError)
    case rule(line: Int, message: String)
    /// The memory bound is below what one row of the largest tensor takes, or what computing a part does that can be left out: then `tensor` is the
    /// part's name, and all else fits.
    case memoryBound(needed: Int, bound: Int, tensor: String)
    case nonfinite(tensor: String, value: Float, index: Int)
    /// A NaN or infinity in what an adapter adds.
    case adapterNonfinite(tensor: String, value: Float, index: Int)
    /// A packed tensor that more adapters change than its record can name.
    case tooManySources(tensor: String, limit: Int, found: Int)
    /// A NaN or infinity that is allowed, but that the scheme cannot hold.
    case unquantizable(tensor: String, value: Float, index: Int, scheme: Scheme)
    /// A finite value that the scheme rounds to infinity.
    case overflow(tensor: String, value: Float, index: Int, scheme: Scheme)
    case folderExists(path: String)
    /// The folder that an export should replace holds something else.
    case folderNotReplaceable(path: String, found: String)
    /// A tensor of a packed file whose record does not say how to give it back.
    case notExportable(tensor: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .checkpoint(let error): "\(error)"
        case .packedFile(let error): "\(error)"
        case .safetensors(let error): "\(error)"
        case .file(let error): "\(error)"
        case .machine(let error): "\(error)"
        case .inference(let error): "\(error)"
        case .frozen(let tensor):
            "\(tensor): expected the weights of the time and guidance networks, found tables of a frozen schedule; export a file that was converted "
                + "without --freeze-steps"
        case .prefixCache(let error): "prefix-cache: \(error)"
        case .certificate(let message): "certificate: \(message)"
        case .quality(let message): "quality: \(message)"
        case .tensors(let path, let problems):
            (["\(path): the tensors are not those that the configuration asks for:"] + TensorProblem.lines(problems)).joined(separator: "\n")
        case .foreignWeights(let path, let expected, let found, let advice): "\(path): expected \(expected), found \(found); \(advice)"
        case .component(let name, let message): "component \(name): \(message)"
        case .rulesNotUTF8: "rules: expected UTF-8 text, found other bytes"
        case .calibration(let error): "calibration: \(error); --calibration none chooses by the weights alone"
        case .target(let message): "search: \(message)"
        case .statistics(let message): "calibration: \(message)"
        case .rule(let line, let message): "rules, line \(line): \(message)"
        case .memoryBound(let needed, let bound, let tensor):
            "\(tensor): expected a memory bound of at least \(needed) bytes, found \(bound); raise --max-memory"
                + (tensor == ConversionPlan.calibrationPart
                    ? ", or choose by the weights alone (--calibration none)"
                    : Component(rawValue: tensor)?.isAttachment == true ? ", or list components without it (--components)" : "")
        case .nonfinite(let tensor, let value, let index):
            "\(tensor): expected finite values, found \(value) at element \(index); repair the checkpoint, or pass --allow-nonfinite to keep it"
        case .adapterNonfinite(let tensor, let value, let index):
            "\(tensor): expected finite values in an adapter, found \(value) at element \(index); its training went wrong: take an earlier step of it"
        case .tooManySources(let tensor, let limit, let found):
            "\(tensor): expected at most \(limit) tensors that it is made of, found \(found); give fewer adapters (--lora), or merge some of them first"
        case .unquantizable(let tensor, let value, let index, let scheme):
            "\(tensor): \(value) at element \(index) cannot be held by \(scheme); keep this tensor in bf16 or f32 by a rule"
        case .overflow(let tensor, let value, let index, let scheme):
            "\(tensor): \(value) at element \(index) is beyond the range of \(scheme); "
                + "use the preset bf16, or a rule that stores this tensor in bf16 or f32"
        case .folderExists(let path):
            "\(path): the output exists already; choose another name or pass --force to replace it"
        case .folderNotReplaceable(let path, let found):
            "\(path): expected nothing, an empty folder or an earlier export that nobody changed, found \(found); "
                + "only what sprintpack wrote is ever replaced: choose another name, or move that away"
        case .notExportable(let tensor, let expected, let found):
            "\(tensor): expected \(expected), found \(found); the program that wrote the file does not follow Formats/packed.md"
        }
    }
}

/// One tensor that a checkpoint has and should not have, or the other way round.
package enum TensorProblem: Sendable, Equatable, CustomStringConvertible {
    /// No row of the weight table takes this tensor; `nearest` are names that miss their tensor, or all names.
    case unclaimed(name: String, nearest: [String])
    /// A row of the weight table finds no such tensor; `row` is its packed name.
    case missing(name: String, row: String, nearest: [String])
    case shape(name: String, expected: Shape, found: Shape)
    case dtype(name: String, found: DType)

    package var description: String {
        switch self {
        case .unclaimed(let name, let nearest): "\(name): nothing in the model takes this tensor\(Self.hint(nearest))"
        case .missing(let name, let row, let nearest): "\(name): missing, wanted for \(row)\(Self.hint(nearest))"
        case .shape(let name, let expected, let found): "\(name): expected the shape \(expected), found \(found)"
        case .dtype(let name, let found): "\(name): expected F16, BF16, F32 or F64, found \(found.rawValue); give the checkpoint that has it in floating point"
        }
    }

    /// The first twenty of each kind, and how many more there are.
    static func lines(_ problems: [TensorProblem]) -> [String] {
        var counts: [String: Int] = [:]
        var lines: [String] = []
        for problem in problems {
            counts[problem.kind, default: 0] += 1
            if counts[problem.kind, default: 0] <= 20 { lines.append("  \(problem)") }
        }
        lines += counts.filter { $0.value > 20 }.sorted { $0.key < $1.key }.map { "  and \($0.value - 20) more \($0.key)" }
        let isSurplus = problems.allSatisfy { if case .unclaimed = $0 { true } else { false } }
        return lines + (isSurplus ? ["  what the model does not need can be left out: --ignore NAME"] : [])
    }

    private var kind: String {
        switch self {
        case .unclaimed: "that nothing takes"
        case .missing: "that are missing"
        case .shape: "of another shape"
        case .dtype: "of another type"
        }
    }

    private static func hint(_ nearest: [String]) -> String {
        nearest.isEmpty ? "" : "; nearest: \(nearest.joined(separator: ", "))"
    }
}
