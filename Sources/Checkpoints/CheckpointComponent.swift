package import StrictJSON
package import Tensors

/// One component of a checkpoint: its configuration, and its tensors from one file or many shards.
package final class CheckpointComponent: Sendable {
    /// The class that `model_index.json` gives it.
    package let className: String
    package let folder: String
    /// Its configuration; an empty object where a tokenizer has none.
    package let configuration: JSONValue
    /// Its weight files, sorted by name; none for tokenizer and scheduler.
    package let files: [any TensorFile]
    /// The variant of the files: "fp16", or nil for the plain ones.
    let variant: String?
    /// What the files have beside the model.
    let omissions: [Omission]
    /// The tensors' names, sorted by bytes, without a prefix that the model class put before all of them.
    package let tensorNames: [String]
    private let places: [ExactString: (file: Int, tensor: StoredTensor)]
    let rule: ComponentRule

    /// Key in `model_index.json`: "transformer".
    package var name: String { rule.name }

    init(
        rule: ComponentRule, className: String, folder: String, configuration: JSONValue, files: [any TensorFile], variant: String?,
        omissions: [Omission] = []
    ) throws(CheckpointError) {
        self.rule = rule
        self.className = className
        self.folder = folder
        self.configuration = configuration
        self.files = files
        self.variant = variant
        var places: [ExactString: (file: Int, tensor: StoredTensor)] = [:]
        var omissions = omissions
        for (file, source) in files.enumerated() {
            for tensor in source.tensors {
                if let reason = rule.ignored[tensor.name] {
                    omissions.append(Omission(component: rule.name, name: tensor.name, reason: reason))
                    continue
                }
                let hasPrefix = !rule.optionalPrefix.isEmpty && tensor.name.utf8.starts(with: rule.optionalPrefix.utf8)
                let name = hasPrefix ? String(decoding: tensor.name.utf8.dropFirst(rule.optionalPrefix.utf8.count), as: UTF8.self) : tensor.name
                if let other = places.updateValue((file, tensor), forKey: ExactString(name)) {
                    throw .nameCollision(folder: folder, tensor: name, stored: [other.tensor.name, tensor.name])
                }
            }
        }
        self.places = places
        self.omissions = omissions
        tensorNames = places.keys.sorted().map(\.string)
    }

    /// The same component with the tensors of other files.
    func replacing(files: [any TensorFile]) throws(CheckpointError) -> CheckpointComponent {
        try CheckpointComponent(rule: rule, className: className, folder: folder, configuration: configuration, files: files, variant: variant)
    }

    /// The tensor of that name, as its file has it: its own name may have the prefix that `tensorNames` lacks.
    package func entry(_ name: String) -> StoredTensor? { places[ExactString(name)]?.tensor }

    /// Reads a whole tensor.
    package func read(_ name: String) throws(CheckpointError) -> EncodedTensor {
        let tensor = try place(of: name).tensor
        let result: EncodedTensor
        do { result = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape) } catch { throw .memory(error) }
        // The buffer has just been made: nobody else reads or writes it.
        unsafe try read(name, range: 0..<tensor.byteCount, into: result.buffer.mutableBytes)
        return result
    }

    /// Reads the bytes `range` of a tensor.
    /// - Precondition: the range lies inside the tensor, and the buffer is as long as the range.
    @unsafe package func read(_ name: String, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        let (file, tensor) = try place(of: name)
        unsafe try files[file].read(tensor, range: range, into: buffer)
    }

    private func place(of name: String) throws(CheckpointError) -> (file: Int, tensor: StoredTensor) {
        guard let place = places[ExactString(name)] else { throw .missingTensor(folder: folder, tensor: name) }
        return place
    }
}
