package import Operations
package import PackedFiles
package import StrictJSON
import Tensors

/// A packed file's weights. The file is all that is needed: configurations and tokenizer come from it too.
package struct PackedWeights: WeightSource {
    package let fusions: Fusions
    package let frozenSchedule: FrozenSchedule?
    private let file: PackedFile

    /// Checks that the file has exactly the weights that its configuration calls for, each in the shape and layout the table says.
    package init(_ file: PackedFile) throws(InferenceError) {
        self.file = file
        fusions = Fusions(names: file.directory.fusions)
        do throws(InferenceError) { frozenSchedule = try FrozenSchedule(policy: file.directory.policy) } catch {
            throw .unreadable(name: "\(file.path): policy", reason: "\(error)")
        }
        if let unknown = file.directory.fusions.first(where: { !fusions.names.contains($0) }) {
            let known = Fusions.names.map(\.1).joined(separator: ", ")
            throw .inconsistent(subject: file.path, expected: "fusions among \(known)", found: "\(unknown); a newer version of the tool may know it")
        }
        try checkTable()
    }

    private func checkTable() throws(InferenceError) {
        let files = try configurations(of: file.directory.components.compactMap { Component(rawValue: $0.name) })
        let model: SanaSprintConfiguration
        do throws(InferenceError) { model = try SanaSprintConfiguration(files) } catch { throw .unreadable(name: file.path, reason: "\(error)") }
        var expected: Set<ExactString> = []
        for entry in file.directory.components {
            guard let component = Component(rawValue: entry.name) else {
                throw .inconsistent(subject: file.path, expected: "components among \(Component.allCases.map(\.rawValue))", found: entry.name)
            }
            for row in SanaSprintWeights.table(model, component: component, fusions: fusions, frozen: frozenSchedule) {
                guard let tensor = file.entry(row.name) else { throw .missing(name: row.name, source: file.path) }
                guard tensor.shape == row.shape else { throw .wrongShape(name: row.name, expected: row.shape, found: tensor.shape) }
                guard tensor.layout == row.layout else {
                    throw .unreadable(name: row.name, reason: "expected the layout \(row.layout.rawValue), found \(tensor.layout.rawValue)")
                }
                expected.insert(ExactString(row.name))
            }
        }
        if let extra = file.directory.tensors.first(where: { !expected.contains(ExactString($0.name)) }) {
            throw .unreadable(name: extra.name, reason: "\(file.path): the configuration in the file calls for no such weight")
        }
    }

    package func configuration(_ name: String) throws(InferenceError) -> JSONValue {
        let name = "\(name)/\(name == "scheduler" ? "scheduler_config" : "config").json"
        let bytes = try blob(name)
        do throws(JSONError) { return try JSONValue.parse(bytes) } catch { throw .unreadable(name: "\(file.path): \(name)", reason: "\(error)") }
    }

    private func blob(_ name: String) throws(InferenceError) -> [UInt8] {
        do throws(PackedFileError) { return try file.blob(name) } catch { throw .source("\(error)") }
    }

    private static let tokenizerName = "tokenizer/tokenizer.json"

    package func tokenizer() throws(InferenceError) -> [UInt8] { try blob(Self.tokenizerName) }

    package var tokenizerByteCount: Int {
        Int(file.directory.blobs.first { $0.name == Self.tokenizerName }?.section.contentByteCount ?? 0)
    }

    package var summaries: [WeightSummary] {
        file.directory.tensors.compactMap { tensor in
            guard let role = Role(rawValue: tensor.role) else { return nil }
            return WeightSummary(
                name: tensor.name, role: role,
                size: WeightSize(
                    tensor.shape, planeBytes: tensor.planes.reduce(0) { $0 + Int($1.section.contentByteCount) },
                    form: KernelForm(tensor.scheme, tensor.activations ?? .float)))
        }
    }

    package var readingBytes: Int { PackedFile.readingBytes }

    package func contains(_ name: String) -> Bool { file.entry(name) != nil }

    package func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        try read(name) { entry throws(PackedFileError) in (entry.shape, try file.planes(of: entry)) }
    }

    /// Reads and decodes the frames alone that hold some of the rows.
    package func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight {
        try read(name) { entry throws(PackedFileError) in
            (Shape([indices.count] + entry.shape.extents.dropFirst()), try file.planes(of: entry, rows: indices))
        }
    }

    private func read(
        _ name: String, planes: (TensorEntry) throws(PackedFileError) -> (Shape, [EncodedTensor])
    ) throws(InferenceError) -> StoredWeight {
        guard let entry = file.entry(name) else { throw .missing(name: name, source: file.path) }
        do throws(PackedFileError) {
            let (shape, planes) = try planes(entry)
            // What a file says of the inputs of plain floating-point values has no meaning.
            let activations = entry.scheme.isQuantized ? entry.activations ?? .float : .float
            return StoredWeight(entry.scheme, shape, planes: planes, activations: activations)
        } catch { throw .unreadable(name: name, reason: "\(error)") }
    }
}

// MARK: - The prefix cache

extension PackedWeights {
    package func promptPrefix() throws(InferenceError) -> PromptPrefix? {
        guard file.attachments.contains(where: { $0.name == PromptPrefix.indexName }) else { return nil }
        let text = try attachment(PromptPrefix.indexName)
        let index: PromptPrefix.Index
        do throws(JSONError) { index = try PromptPrefix.Index(JSONValue.parse(text)) } catch {
            throw .unreadable(name: "\(file.path): \(PromptPrefix.indexName)", reason: "\(error)")
        }
        guard index.contentHash == file.contentHash else {
            throw .inconsistent(
                subject: "\(file.path): \(PromptPrefix.indexName)", expected: "a prefix cache of this file's content, \(file.contentHash)",
                found: "one of \(index.contentHash); convert again")
        }
        let count = index.ids.count
        return PromptPrefix(index: index, first: try tensor(PromptPrefix.firstName, rows: 1)) { layer throws(InferenceError) in
            try tensor(PromptPrefix.name(ofLayer: layer), rows: count)
        }
    }

    private func attachment(_ name: String) throws(InferenceError) -> [UInt8] {
        do throws(PackedFileError) { return try file.attachment(name) } catch { throw .unreadable(name: name, reason: "\(error)") }
    }

    /// An attachment of float32 numbers as a matrix of so many rows.
    private func tensor(_ name: String, rows: Int) throws(InferenceError) -> Tensor {
        let bytes = try attachment(name)
        let rowByteCount = rows * MemoryLayout<Float>.stride
        guard !bytes.isEmpty, bytes.count % rowByteCount == 0 else {
            throw .unreadable(name: name, reason: "expected \(rows) rows of float32 numbers, found \(bytes.count) bytes")
        }
        return try allocating(Tensor(sharing: try EncodedTensor(dtype: .f32, shape: [rows, bytes.count / rowByteCount], copying: bytes)))
    }
}
