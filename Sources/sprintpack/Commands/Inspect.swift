import ArgumentParser
import Checkpoints
import Files
import Inference
import PackedFiles
import Parity
import Quality
import Safetensors
import StrictJSON
import Tensors
import TorchFiles

/// `sprintpack inspect`: what is in a file or folder, from its headers alone.
struct Inspect: Verb {
    static let configuration = CommandConfiguration(
        abstract: "List what a .sprint file, a safetensors or torch file, an adapter, a shard index or a diffusers folder holds.",
        discussion: """
            EXAMPLES:
              sprintpack inspect sana.sprint
              sprintpack inspect sana-1.6b-diffusers --tensors

            Reads headers only; what a file is, is told by its first bytes, not by its name.
            """)

    @Argument(help: ArgumentHelp("A file or a folder.", valueName: "path"))
    var path: String

    @Flag(help: "List every tensor.")
    var tensors = false

    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var common: CommonOptions

    func execute() throws -> Outcome {
        let inventory = try Inventory(path, checkpointOptions)
        return Outcome(text: inventory.summary + (tensors ? "\n\(inventory.table)" : ""), json: inventory.json(withTensors: tensors))
    }
}

/// What something holds: a few facts, totals by part, and one row for each tensor.
private struct Inventory {
    struct Row {
        let part: String
        let name: String
        let storage: String
        let shape: Shape
        /// Bytes in the file; for packed tensors after compression.
        let byteCount: UInt64
        /// Relative L2 of the stored values against the source's, where a packed file states it.
        var relativeL2: Double?
    }

    private(set) var kind = ""
    private(set) var facts: [(name: String, value: String)] = []
    private(set) var rows: [Row] = []
    /// Of a checkpoint: what its files have beside the model.
    private var leftOut: (lines: [String], json: JSONValue, notes: JSONValue) = ([], [], [])

    init(_ path: String, _ options: CheckpointOptions) throws {
        if Paths.isDirectory(path) || options.areUsed {
            try read(options.open(path))
            return
        }
        let file = try InputFile(path: path)
        let prefix = try file.bytes(at: 0, count: Int(min(file.size, UInt64(FileKind.prefixByteCount))))
        if prefix.starts(with: PackedHeader.magic) {
            let file = try PackedFile.open(path)
            read(file)
            if let quality = try Quality(file)?.verdict(isMeasured: false) { facts.append(("quality", quality.line)) }
        } else if FileKind(prefix: prefix) == .zip {
            read(try TorchFile.open(path))
        } else if FileKind(prefix: prefix) == .json {
            try read(ShardIndex(path: path))
        } else {
            let safetensors = try SafetensorsFile.open(path)
            kind = "safetensors"
            add(safetensors, part: "")
            facts += safetensors.header.metadata.map { ($0.key, $0.value) }
        }
        if AdapterFile.isAdapter(rows.map(\.name)) { try read(AdapterFile.open(path)) }
    }

    private mutating func read(_ adapter: AdapterFile) {
        kind = "adapter"
        func list(_ words: [String]) -> String { words.prefix(40).joined(separator: ", ") + (words.count > 40 ? " and \(words.count - 40) more" : "") }
        let header = facts.map { (name: "header: \($0.name)", value: $0.value.quoted) }
        facts = [("adapter", adapter.summary), ("alpha", adapter.alphaText), ("targets", list(adapter.targets.map { "\($0.name) (\($0.count))" }))]
        if !adapter.problems.isEmpty { facts.append(("cannot be used", list(adapter.problems.map { "\($0)" }))) }
        facts += header
    }

    private mutating func add(_ file: any TensorFile, part: String) {
        for entry in file.tensors {
            rows.append(Row(part: part, name: entry.name, storage: entry.dtype.rawValue, shape: entry.shape, byteCount: entry.byteCount))
        }
    }

    private mutating func read(_ checkpoint: Checkpoint) {
        kind = "checkpoint"
        facts = [("class", checkpoint.className)]
        for component in checkpoint.components.values.sorted(by: { $0.name < $1.name }) {
            facts.append((component.name, "\(component.className), \(component.files.count) weight files"))
            for file in component.files { add(file, part: component.name) }
        }
        facts += checkpoint.adapters.enumerated().map { ("lora \($0 + 1)", "\($1.path), \($1.summary), weight \($1.source.weight)") }
        leftOut = (checkpoint.omissionLines, checkpoint.omissionsJSON, checkpoint.notesJSON)
    }

    private mutating func read(_ file: TorchFile) {
        kind = "torch file"
        let keys = file.topLevelKeys.prefix(20).map(\.quoted).joined(separator: ", ")
        facts = [("keys", file.topLevelKeys.count > 20 ? "\(keys) and \(file.topLevelKeys.count - 20) more" : keys)]
        if !file.hasChecksums { facts.append(("checksums", "none were computed")) }
        for container in file.containers {
            // An optimizer has a dictionary for each weight: one part is all that lies below one key.
            let keys = container.path.split(separator: ".", maxSplits: 1)
            for tensor in container.tensors {
                let name = keys.count > 1 ? "\(keys[1]).\(tensor.name)" : tensor.name
                rows.append(
                    Row(
                        part: keys.first.map { String($0) } ?? "", name: name, storage: tensor.dtype.rawValue, shape: tensor.shape,
                        byteCount: UInt64(tensor.shape.elementCount) * UInt64(tensor.dtype.byteCount)))
            }
        }
    }

    private mutating func read(_ index: ShardIndex) throws {
        kind = "shard index"
        for file in try index.open(in: Paths.parent(of: index.path)) { add(file, part: Paths.name(of: file.path)) }
    }

    private mutating func read(_ file: PackedFile) {
        kind = "packed file"
        let directory = file.directory
        facts = [
            ("format", "\(file.header.major).\(file.header.minor)"), ("preset", directory.presetText), ("content hash", file.contentHash),
            ("written by", "\(directory.tool), zstd \(directory.zstd)"), ("fusions", directory.fusions.joined(separator: ", ")),
            ("components", directory.components.map(\.name).joined(separator: ", ")),
        ]
        facts += directory.adapters.enumerated().map { ("lora \($0 + 1)", "\($1.path), weight \($1.weight ?? 1), SHA-256 \($1.sha256 ?? "none")") }
        facts += [
            ("frozen for", (try? FrozenSchedule(policy: directory.policy))?.description ?? "nothing: any steps and guidance"),
            ("small files", "\(directory.blobs.count)"), ("attachments", Self.summary(of: file.attachments)),
            ("size", ByteCount.text(file.header.totalByteCount)),
        ]
        for tensor in directory.tensors {
            let storage = tensor.activations.map { "\(tensor.scheme), activations \($0.rawValue)" } ?? tensor.scheme.name
            rows.append(
                Row(
                    part: tensor.component, name: tensor.name, storage: storage, shape: tensor.shape,
                    byteCount: tensor.planes.reduce(0) { $0 + $1.section.storedByteCount }, relativeL2: tensor.error?.relativeL2))
        }
    }

    /// Attachments by their folder: "prefix-cache (5, 316 kB)".
    private static func summary(of attachments: [BlobEntry]) -> String {
        var sums: [(folder: String, count: Int, byteCount: UInt64)] = []
        for blob in attachments {
            let folder = blob.name.split(separator: "/").dropLast().first.map { String($0) } ?? blob.name
            let index = sums.firstIndex { $0.folder == folder } ?? sums.endIndex
            if index == sums.endIndex { sums.append((folder, 0, 0)) }
            sums[index].count += 1
            sums[index].byteCount += blob.section.storedByteCount
        }
        return sums.isEmpty ? "none" : sums.map { "\($0.folder) (\($0.count), \(ByteCount.text($0.byteCount)))" }.joined(separator: ", ")
    }

    /// Totals by part and storage, in the order of first appearance.
    private var totals: [(part: String, storage: String, tensors: Int, elements: Int, byteCount: UInt64)] {
        var totals: [(part: String, storage: String, tensors: Int, elements: Int, byteCount: UInt64)] = []
        for row in rows {
            let index = totals.firstIndex { $0.part == row.part && $0.storage == row.storage } ?? totals.endIndex
            if index == totals.endIndex { totals.append((row.part, row.storage, 0, 0, 0)) }
            totals[index].tensors += 1
            totals[index].elements += row.shape.elementCount
            totals[index].byteCount += row.byteCount
        }
        return totals
    }

    var summary: String {
        var table = [["part", "stored as", "tensors", "elements", "bytes"]]
        for total in totals { table.append([total.part, total.storage, "\(total.tensors)", "\(total.elements)", ByteCount.text(total.byteCount)]) }
        let all = rows.reduce((0, 0 as UInt64)) { ($0.0 + $1.shape.elementCount, $0.1 + $1.byteCount) }
        table.append(["all", "", "\(rows.count)", "\(all.0)", ByteCount.text(all.1)])
        let facts = Table.text([["kind", kind]] + self.facts.map { [$0.name, $0.value] })
        return facts + "\n\n" + ([Table.text(table, right: [2, 3, 4])] + leftOut.lines).joined(separator: "\n")
    }

    var table: String {
        "\n"
            + Table.text(
                [["tensor", "stored as", "shape", "bytes", "rel L2"]]
                    + rows.map { row in
                        [
                            row.name, row.storage, row.shape.description, "\(row.byteCount)",
                            row.relativeL2.map { $0 == 0 ? "exact" : Decimal.short($0) } ?? "",
                        ]
                    }, right: [3, 4])
    }

    func json(withTensors: Bool) -> JSONObject {
        var object: JSONObject = ["kind": .string(kind), "facts": .object(JSONObject(facts.map { ($0.name, .string($0.value)) }))]
        (object["leftOut"], object["notes"]) = (leftOut.json, leftOut.notes)
        object["totals"] = .array(
            totals.map {
                [
                    "part": .string($0.part), "storage": .string($0.storage), "tensors": JSONValue($0.tensors), "elements": JSONValue($0.elements),
                    "bytes": .integer(Int64($0.byteCount)),
                ]
            })
        guard withTensors else { return object }
        object["tensors"] = .array(
            rows.map { row in
                [
                    "part": .string(row.part), "name": .string(row.name), "storage": .string(row.storage),
                    "shape": JSONValue(row.shape.extents), "bytes": .integer(Int64(row.byteCount)),
                    "relativeL2": row.relativeL2.map { .number($0) } ?? .null,
                ]
            })
        return object
    }
}

extension Directory {
    /// The preset, and of a search what was asked for.
    fileprivate var presetText: String {
        let goal = policy["calibration"]?["search"]?["goal"]
        if let bytes = goal?["bytes"]?.integer { return "\(preset), searched for at most \(bytes) bytes" }
        if let decibels = goal?["velocity"]?.double { return "\(preset), searched for velocities of \(Decimal.short(decibels)) dB" }
        return preset
    }
}
