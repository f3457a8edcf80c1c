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
    /// Those that were told of when it was made, not found among its tensors.
    private let toldOmissions: [Omission]
    private let toldNotes: [String]
    /// Files of adapters, whose tensors are found beside its own.
    let additions: [any TensorFile]
    /// What adapters add to tensors, in order.
    package let adaptations: [ExactString: [Adaptation]]
    /// How its tensors are read, where it is not as they are.
    let notes: [String]
    /// What the user's patterns left out.
    let ignoredNames: [String]
    /// The tensors' names, sorted by bytes, without a prefix that the model class put before all of them.
    package let tensorNames: [String]
    private let places: [ExactString: (file: Int, tensor: StoredTensor)]
    /// The files as they are read, eight-bit floats widened; then those of adapters.
    private let readable: [any TensorFile]
    let rule: ComponentRule
    private let ignored: [Glob]

    /// Key in `model_index.json`: "transformer".
    package var name: String { rule.name }

    init(
        rule: ComponentRule, className: String, folder: String, configuration: JSONValue, files: [any TensorFile], variant: String?,
        omissions: [Omission] = [], notes: [String] = [], ignored: [Glob] = [], additions: [any TensorFile] = [],
        adaptations: [ExactString: [Adaptation]] = [:]
    ) throws(CheckpointError) {
        self.rule = rule
        self.className = className
        self.folder = folder
        self.configuration = configuration
        self.files = files
        self.variant = variant
        (self.additions, self.adaptations, toldOmissions, toldNotes) = (additions, adaptations, omissions, notes)
        self.ignored = ignored
        let widened = try EightBitFloats.widened(files, component: rule.name)
        readable = widened.files + additions
        self.notes = notes + widened.notes
        var places: [ExactString: (file: Int, tensor: StoredTensor)] = [:]
        var omissions = omissions + widened.omissions
        var ignoredNames: [String] = []
        func leaveOut(_ name: String, _ reason: String) { omissions.append(Omission(component: rule.name, name: name, reason: reason)) }
        for (file, source) in readable.enumerated() {
            for tensor in source.tensors {
                if file < widened.files.count, let glob = ignored.first(where: { $0.matches(tensor.name) }) {
                    ignoredNames.append(tensor.name)
                    leaveOut(tensor.name, "--ignore \(glob.pattern)")
                } else if let other = places.updateValue((file, tensor), forKey: ExactString(rule.unprefixed(tensor.name))) {
                    throw .nameCollision(folder: folder, tensor: rule.unprefixed(tensor.name), stored: [other.tensor.name, tensor.name])
                }
            }
        }
        // An output head that shares the table of tokens may be all that is stored of both.
        if let tie = rule.tie, configuration[tie.member]?.bool != false, places[ExactString(tie.name)] == nil {
            places[ExactString(tie.name)] = places[ExactString(tie.alias)]
        }
        for (name, reason) in rule.ignored.sorted(by: { $0.key < $1.key }) {
            guard let place = places.removeValue(forKey: ExactString(name)) else { continue }
            let isTaken = rule.tie.map { $0.alias == name && places[ExactString($0.name)]?.tensor == place.tensor } ?? false
            if !isTaken { leaveOut(place.tensor.name, reason) }
        }
        self.places = places
        self.omissions = omissions
        self.ignoredNames = ignoredNames
        tensorNames = places.keys.sorted().map(\.string)
    }

    /// The same component with the tensors of other files.
    func replacing(files: [any TensorFile]) throws(CheckpointError) -> CheckpointComponent {
        try CheckpointComponent(
            rule: rule, className: className, folder: folder, configuration: configuration, files: files, variant: variant, ignored: ignored,
            additions: additions, adaptations: adaptations)
    }

    /// The same component with what adapters add.
    func adapted(by adapters: [Adapter]) throws(CheckpointError) -> CheckpointComponent {
        var adaptations: [ExactString: [Adaptation]] = [:]
        for adapter in adapters { adaptations.merge(adapter.adaptations[name] ?? [:]) { $0 + $1 } }
        return try CheckpointComponent(
            rule: rule, className: className, folder: folder, configuration: configuration, files: files, variant: variant, omissions: toldOmissions,
            notes: toldNotes, ignored: ignored, additions: adapters.compactMap { $0.files[name] }, adaptations: adaptations)
    }

    /// The tensor of that name, as its file has it: its own name may have the prefix that `tensorNames` lacks.
    package func entry(_ name: String) -> StoredTensor? { places[ExactString(name)]?.tensor }

    /// The option that takes the component's weights from a file, of whatever names; nil where there is none.
    package var fileOption: String? { ["transformer": "--transformer", "vae": "--vae"][name] }

    /// A name that the model's authors give a tensor, and diffusers does not; nil where there is none.
    package var nameOfAuthors: String? {
        let names = NamePrefixes.stripped(tensorNames)
        switch name {
        case "transformer": return names.first { $0 == TransformerNames.originalMark }
        case "vae": return AutoencoderNames.isOriginal(names) ? names.first { $0.contains(".project_in.") } ?? names.first : nil
        default: return nil
        }
    }

    /// Whether a prefix of all names is one that goes where the weights are given as a file.
    package func takesOff(_ prefix: String) -> Bool { NamePrefixes.stripped(["\(prefix)weight"]) == ["weight"] }

    /// Reads a whole tensor.
    package func read(_ name: String) throws(CheckpointError) -> EncodedTensor {
        let tensor = try place(of: name).tensor
        let result = try Self.made(tensor.dtype, tensor.shape)
        try read(name, 0..<tensor.byteCount, into: result, at: 0)
        return result
    }

    /// Reads runs of a tensor's rows, one below the other.
    /// - Precondition: the tensor is one of this component, in any shape of its elements that has the rows.
    package func read(_ tensor: StoredTensor, rows runs: [Range<Int>]) throws(CheckpointError) -> EncodedTensor {
        let count = runs.reduce(0) { $0 + $1.count }
        let shape = tensor.shape.rank == 0 ? tensor.shape : Shape([count] + tensor.shape.extents.dropFirst())
        let result = try Self.made(tensor.dtype, shape)
        let size = shape.columns * tensor.dtype.byteCount
        var row = 0
        for run in runs {
            try read(tensor.name, UInt64(run.lowerBound * size)..<UInt64(run.upperBound * size), into: result, at: row * size)
            row += run.count
        }
        return result
    }

    /// Reads the bytes `range` of a tensor.
    /// - Precondition: the range lies inside the tensor.
    package func bytes(of name: String, _ range: Range<UInt64>) throws(CheckpointError) -> [UInt8] {
        let result = try Self.made(.u8, [range.count])
        try read(name, range, into: result, at: 0)
        return result.contents
    }

    private static func made(_ dtype: DType, _ shape: Shape) throws(CheckpointError) -> EncodedTensor {
        do { return try EncodedTensor(dtype: dtype, shape: shape) } catch { throw .machine(error) }
    }

    /// - Parameter target: has just been made: nobody else reads or writes it.
    private func read(_ name: String, _ range: Range<UInt64>, into target: EncodedTensor, at offset: Int) throws(CheckpointError) {
        let (file, tensor) = try place(of: name)
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: target.buffer.mutableBytes[offset..<offset + range.count])
        unsafe try readable[file].read(tensor, range: range, into: buffer)
    }

    private func place(of name: String) throws(CheckpointError) -> (file: Int, tensor: StoredTensor) {
        guard let place = places[ExactString(name)] else { throw .missingTensor(folder: folder, tensor: name) }
        return place
    }
}
