import Files
import Inference
import PackedFiles
import Safetensors
import StrictJSON
import Tensors

/// Which tensors of a packed file go into which file of a diffusers folder, and what each is made of.
struct ExportPlan: Sendable {
    let folders: [Folder]

    /// One component folder with its weights.
    struct Folder: Sendable {
        let name: String
        let shards: [Shard]
        /// Bytes of all tensors.
        let byteCount: UInt64
    }

    /// One safetensors file.
    struct Shard: Sendable {
        let fileName: String
        let tensors: [ExportedTensor]
    }

    /// Files are cut where diffusers cuts them.
    static let shardByteCount: UInt64 = 5_000_000_000

    /// - Throws: `.notExportable` where the records of a tensor contradict its shape, as only a file made with bad intent or by mistake has them.
    init(_ directory: Directory, shardByteCount: UInt64 = shardByteCount) throws(ConversionError) {
        var tensors: [(folder: String, tensors: [ExportedTensor])] = []
        for entry in directory.tensors {
            guard let folder = Component(rawValue: entry.component)?.folder else {
                throw .notExportable(tensor: entry.name, expected: "a component of the model", found: "\"\(entry.component)\"")
            }
            guard !ScheduleTables.names.contains(entry.name) else { throw .frozen(tensor: entry.name) }
            let parts = try ExportedTensor.all(of: entry)
            if let index = tensors.firstIndex(where: { $0.folder == folder }) {
                tensors[index].tensors += parts
            } else {
                tensors.append((folder, parts))
            }
        }
        folders = tensors.map { folder, tensors in Self.folder(folder, Self.withoutRepeatedOnes(tensors), shardByteCount) }
    }

    /// A norm that was folded into a weight and into its bias is given back once.
    private static func withoutRepeatedOnes(_ tensors: [ExportedTensor]) -> [ExportedTensor] {
        var ones: Set<ExactString> = []
        return tensors.filter { tensor in
            guard case .ones = tensor.content else { return true }
            return ones.insert(ExactString(tensor.name)).inserted
        }
    }

    private static func folder(_ name: String, _ tensors: [ExportedTensor], _ shardByteCount: UInt64) -> Folder {
        var shards: [[ExportedTensor]] = [[]]
        var byteCount: UInt64 = 0
        for tensor in tensors {
            if byteCount > 0, byteCount + tensor.byteCount > shardByteCount {
                shards.append([])
                byteCount = 0
            }
            shards[shards.count - 1].append(tensor)
            byteCount += tensor.byteCount
        }
        let stem = stem(name)
        let files = shards.enumerated().map { index, tensors in
            Shard(fileName: fileName(stem, index, of: shards.count), tensors: tensors)
        }
        return Folder(name: name, shards: files, byteCount: tensors.reduce(0) { $0 + $1.byteCount })
    }

    /// What the names of a folder's weight files begin with.
    fileprivate static func stem(_ folder: String) -> String { folder == Component.textEncoder.folder ? "model" : "diffusion_pytorch_model" }

    private static func fileName(_ stem: String, _ index: Int, of count: Int) -> String {
        guard count > 1 else { return "\(stem).safetensors" }
        func digits(_ number: Int) -> String { String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number) }
        return "\(stem)-\(digits(index + 1))-of-\(digits(count)).safetensors"
    }
}

extension ExportPlan.Folder {
    /// The index that sharded checkpoints have, with its file name; nil for a single file.
    var index: (fileName: String, text: [UInt8])? {
        guard shards.count > 1 else { return nil }
        var map = JSONObject()
        for shard in shards {
            for tensor in shard.tensors { map[tensor.name] = .string(shard.fileName) }
        }
        let json: JSONValue = ["metadata": ["total_size": .integer(Int64(byteCount))], "weight_map": .object(map)]
        return ("\(ExportPlan.stem(name)).safetensors.index.json", json.canonicalText)
    }
}

/// One tensor of an exported checkpoint.
struct ExportedTensor: Sendable {
    let name: String
    let dtype: DType
    let shape: Shape
    let content: Content

    enum Content: Sendable {
        /// Rows of a packed tensor.
        case rows(TensorEntry, Range<Int>)
        /// A vector that was multiplied into the rows of a weight: with ones in its place the scaled weight computes the same.
        case ones
    }

    var byteCount: UInt64 { UInt64(shape.elementCount) * UInt64(dtype.byteCount) }

    /// The checkpoint tensors that a packed tensor stands for, in their order.
    static func all(of entry: TensorEntry) throws(ConversionError) -> [ExportedTensor] {
        let scaleNames = Set(entry.sources.compactMap(\.rowScale).map(ExactString.init))
        // What adapters added is in the rows, and no tensor of the checkpoint.
        let added = Set(entry.sources.flatMap(\.additions).flatMap(\.names).map(ExactString.init))
        var row = 0
        var tensors: [ExportedTensor] = []
        for source in entry.sources where !added.contains(ExactString(source.name)) {
            switch source.dtype {
            case .f16, .bf16, .f32, .f64: break
            default: throw .notExportable(tensor: source.name, expected: "the source's type F16, BF16, F32 or F64", found: source.dtype.rawValue)
            }
            if scaleNames.contains(ExactString(source.name)) {
                tensors.append(ExportedTensor(name: source.name, dtype: source.dtype, shape: source.shape, content: .ones))
                continue
            }
            let end = row + source.shape.rows
            guard end <= entry.shape.rows, source.shape.columns == entry.shape.columns else {
                throw .notExportable(tensor: entry.name, expected: "sources that make up \(entry.shape)", found: "\(source.name) \(source.shape)")
            }
            if entry.layout == .channelsLast {
                let (packed, plain) = (entry.shape.extents, source.shape.extents)
                guard packed.count == 4, plain.count == 4, packed[1] == plain[2], packed[2] == plain[3], packed[3] == plain[1] else {
                    throw .notExportable(tensor: entry.name, expected: "[out, kh, kw, in] of [out, in, kh, kw]", found: "\(entry.shape) of \(source.shape)")
                }
            }
            tensors.append(ExportedTensor(name: source.name, dtype: source.dtype, shape: source.shape, content: .rows(entry, row..<end)))
            row = end
        }
        guard row == entry.shape.rows else {
            throw .notExportable(tensor: entry.name, expected: "sources of \(entry.shape.rows) rows together", found: "\(row)")
        }
        return tensors
    }
}
