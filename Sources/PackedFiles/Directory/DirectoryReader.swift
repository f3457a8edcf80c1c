import Files
import StrictJSON
import Tensors

/// Turns the text of a directory into entries, checking each number and name on the way (Formats/packed.md, "Directory").
struct DirectoryReader {
    /// The file, for messages.
    let path: String
    let schemes: SchemeList

    func directory(_ text: [UInt8]) throws(PackedFileError) -> Directory {
        let json = try document(text, "directory")
        let fields = try object(json, "directory")
        var directory = Directory(
            tool: try string(fields, "tool"), preset: try string(fields, "preset"), policy: fields.object["policy"] ?? .null,
            fusions: try strings(fields, "fusions"), components: try components(fields), sourceFiles: try sourceFiles(fields))
        guard directory.policy.object != nil else {
            throw refused(.directoryMember, "directory: policy", "an object", fields.object["policy"]?.kind ?? "nothing")
        }
        directory.zstd = try string(fields, "zstd")
        directory.blobs = try blobs(fields, "blobs")
        let names = Set(directory.components.map { ExactString($0.name) })
        let tensors = try array(fields, "tensors", limit: Limits.tensors)
        directory.tensors.reserveCapacity(tensors.count)
        for (index, value) in tensors.enumerated() {
            let tensor = try tensor(object(value, "tensor \(index)"))
            guard names.contains(ExactString(tensor.component)) else {
                throw refused(.unknownComponent, "tensor \(tensor.name)", "one of the file's components", "\"\(tensor.component)\"")
            }
            directory.tensors.append(tensor)
        }
        try requireUnique(directory.tensors.lazy.map(\.name), "tensors")
        let blobNames = Set(directory.blobs.map { ExactString($0.name) })
        for component in directory.components {
            if let blob = component.configuration, !blobNames.contains(ExactString(blob)) {
                throw refused(.directoryMember, "component \(component.name): configuration", "the name of a blob", "\"\(blob)\"")
            }
        }
        return directory
    }

    func attachments(_ text: [UInt8]) throws(PackedFileError) -> [BlobEntry] {
        try blobs(object(document(text, "attachment directory"), "attachment directory"), "attachments")
    }

    // MARK: - Entries

    private func components(_ fields: JSONFields) throws(PackedFileError) -> [ComponentEntry] {
        var entries: [ComponentEntry] = []
        for (index, value) in try array(fields, "components", limit: Limits.components).enumerated() {
            let fields = try object(value, "component \(index)")
            entries.append(ComponentEntry(name: try name(fields, "name"), configuration: try optionalString(fields, "configuration")))
        }
        try requireUnique(entries.lazy.map(\.name), "components")
        return entries
    }

    private func sourceFiles(_ fields: JSONFields) throws(PackedFileError) -> [SourceFile] {
        var entries: [SourceFile] = []
        for (index, value) in try array(fields, "sources", limit: Limits.blobs).enumerated() {
            let fields = try object(value, "source file \(index)")
            let weight = fields.object["weight"] == nil ? nil : try json { () throws(JSONError) in try fields.double("weight") }
            entries.append(
                SourceFile(
                    path: try name(fields, "path"), byteCount: UInt64(try int(fields, "size", in: 0 ... .max)),
                    sha256: fields.object["sha256"] == nil ? nil : try digest(fields), weight: weight))
        }
        return entries
    }

    private func blobs(_ fields: JSONFields, _ key: String) throws(PackedFileError) -> [BlobEntry] {
        var entries: [BlobEntry] = []
        for (index, value) in try array(fields, key, limit: Limits.blobs).enumerated() {
            let fields = try object(value, "\(key) \(index)")
            let name = try string(fields, "name")
            if let problem = NameRules.problem(withPath: name) {
                throw refused(.invalidName, "\(key) \(index)", "a relative path of plain names, at most \(Limits.nameBytes) bytes", problem)
            }
            let section = try section(fields, "\(key): \(name)", elementByteCount: 1)
            guard section.contentByteCount <= Limits.blobBytes else {
                throw refused(.countLimit, "\(key): \(name)", "at most \(Limits.blobBytes) bytes", "\(section.contentByteCount)")
            }
            entries.append(BlobEntry(name: name, section: section))
        }
        try requireUnique(entries.lazy.map(\.name), key)
        return entries
    }

    private func tensor(_ fields: JSONFields) throws(PackedFileError) -> TensorEntry {
        let name = try name(fields, "name")
        let subject = "tensor \(name)"
        let fields = try object(.object(fields.object), subject)
        let scheme = try choice(fields, "scheme", .unknownScheme, schemes.names) { schemes[name: $0] }
        let layout = try choice(fields, "layout", .unknownLayout, TensorLayout.allCases.map(\.rawValue)) { TensorLayout(rawValue: $0) }
        var activations: ActivationScheme?
        if fields.object["activations"] != nil {
            activations = try choice(fields, "activations", .unknownActivations, ActivationScheme.allCases.map(\.rawValue)) { ActivationScheme(rawValue: $0) }
        }
        let shape = try shape(fields, subject)
        guard scheme.holds(shape) else { throw refused(.planeMismatch, subject, "a shape that \(scheme) can hold", "\(shape)") }
        let description = TensorDescription(
            name: name, component: try string(fields, "component"), shape: shape, role: try string(fields, "role"), layout: layout,
            scheme: scheme, activations: activations)
        return TensorEntry(
            description: description, planes: try planes(fields, description), sources: try sources(fields),
            error: try quantizationError(fields), nonfinite: try int(fields, "nonfinite", in: 1 ... .max, default: 0))
    }

    private func planes(_ fields: JSONFields, _ tensor: TensorDescription) throws(PackedFileError) -> [PlaneEntry] {
        let specifications = tensor.scheme.planes(for: tensor.shape)
        let values = try array(fields, "planes", limit: Limits.planesPerTensor)
        guard values.count == specifications.count else {
            throw refused(.planeMismatch, fields.subject, "\(specifications.count) planes of \(tensor.scheme)", "\(values.count)")
        }
        var planes: [PlaneEntry] = []
        for (value, specification) in zip(values, specifications) {
            let subject = "tensor \(tensor.name), plane \(specification.name)"
            let fields = try object(value, subject)
            let dtype = try choice(fields, "dtype", .unknownDType, DType.allCases.map(\.rawValue)) { DType(rawValue: $0) }
            let shape = try shape(fields, subject)
            let name = try string(fields, "name")
            guard ExactString(name) == ExactString(specification.name), dtype == specification.dtype, shape == specification.shape else {
                throw refused(.planeMismatch, subject, "\(specification)", PlaneSpecification.description(name, dtype, shape))
            }
            let section = try section(fields, subject, elementByteCount: dtype.byteCount)
            guard section.contentByteCount == UInt64(specification.byteCount) else {
                throw refused(.frameSizes, subject, "frames of \(specification.byteCount) content bytes together", "\(section.contentByteCount)")
            }
            planes.append(PlaneEntry(name: specification.name, dtype: dtype, shape: shape, section: section))
        }
        return planes
    }

    private func sources(_ fields: JSONFields) throws(PackedFileError) -> [SourceRecord] {
        var records: [SourceRecord] = []
        for (index, value) in try array(fields, "sources", limit: Limits.sourcesPerTensor).enumerated() {
            let fields = try object(value, "\(fields.subject), source \(index)")
            let dtype = try choice(fields, "dtype", .unknownDType, DType.allCases.map(\.rawValue)) { DType(rawValue: $0) }
            records.append(
                SourceRecord(
                    name: try name(fields, "name"), dtype: dtype, shape: try shape(fields, fields.subject), sha256: try digest(fields),
                    rowScale: try optionalString(fields, "rowScale"), additions: try additions(fields)))
        }
        return records
    }

    private func additions(_ fields: JSONFields) throws(PackedFileError) -> [AdditionRecord] {
        guard fields.object["additions"] != nil else { return [] }
        var records: [AdditionRecord] = []
        for (index, value) in try array(fields, "additions", limit: Limits.sourcesPerTensor).enumerated() {
            let fields = try object(value, "\(fields.subject), addition \(index)")
            records.append(
                AdditionRecord(
                    factor: try json { () throws(JSONError) in try fields.double("factor") }, up: try name(fields, "up"),
                    down: try optionalString(fields, "down"), magnitude: try optionalString(fields, "magnitude")))
        }
        return records
    }

    private func quantizationError(_ fields: JSONFields) throws(PackedFileError) -> QuantizationError? {
        guard let value = fields.object["error"] else { return nil }
        let fields = try object(value, "\(fields.subject): error")
        let relativeL2 = try json { () throws(JSONError) in try fields.double("relativeL2") }
        let maxAbs = try json { () throws(JSONError) in try fields.double("maxAbs") }
        guard relativeL2 >= 0, maxAbs >= 0 else { throw refused(.directoryMember, fields.subject, "no negative number", "one") }
        return QuantizationError(relativeL2: relativeL2, maxAbs: maxAbs)
    }

    // MARK: - Sections

    private func section(_ fields: JSONFields, _ subject: String, elementByteCount: Int) throws(PackedFileError) -> Section {
        let codec = try choice(fields, "codec", .unknownCodec, Codec.allCases.map(\.rawValue)) { Codec(rawValue: $0) }
        guard codec.fits(elementByteCount: elementByteCount) else {
            throw refused(.codecMismatch, subject, "a codec for elements of \(elementByteCount) bytes", codec.rawValue)
        }
        let offset = UInt64(try int(fields, "offset", in: 0 ... .max))
        let values = try json { () throws(JSONError) in try fields.array("frames") }
        var frames: [Section.Frame] = []
        frames.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            frames.append(try frame(value, codec, elementByteCount, "\(subject), frame \(index)"))
        }
        return Section(codec: codec, offset: offset, frames: frames, sha256: try digest(fields))
    }

    private func frame(_ value: JSONValue, _ codec: Codec, _ elementByteCount: Int, _ subject: @autoclosure () -> String) throws(PackedFileError)
        -> Section.Frame
    {
        guard let parts = value.array, parts.count == 3, let stored = parts[0].integer, let content = parts[1].integer,
            let checksum = parts[2].string.flatMap({ Hex.value($0) })
        else { throw refused(.directoryMember, subject(), "[stored size, content size, 16 hexadecimal digits]", value.kind) }
        guard (1...Int64(Limits.frameBytes)).contains(content), content % Int64(elementByteCount) == 0 else {
            throw refused(.frameSizes, subject(), "1 to \(Limits.frameBytes) content bytes in elements of \(elementByteCount)", "\(content)")
        }
        let smallest = codec == .zstdSplit16 ? content / 2 + 1 : 1
        guard stored == content || codec != .raw && (smallest..<content).contains(stored) else {
            throw refused(.frameSizes, subject(), "\(codec == .raw ? "\(content)" : "\(smallest) to \(content)") stored bytes", "\(stored)")
        }
        return Section.Frame(storedByteCount: Int(stored), contentByteCount: Int(content), checksum: checksum)
    }

    // MARK: - Members

    private func document(_ text: [UInt8], _ subject: String) throws(PackedFileError) -> JSONValue {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue.parse(text, maximumDepth: Limits.directoryDepth, maximumValues: Limits.directoryValues(byteCount: text.count))
        } catch {
            if case .tooManyValues(let limit, _) = error { throw refused(.countLimit, subject, "at most \(limit) values of JSON", "more") }
            throw refused(.directorySyntax, subject, "JSON as Formats/packed.md restricts it", "\(error)")
        }
        guard value.canonicalText == text else { throw refused(.directoryNotCanonical, subject, "canonical JSON text", "another spelling of it") }
        return value
    }

    private func refused(_ failure: PackedFileFailure, _ subject: String, _ expected: String, _ found: String) -> PackedFileError {
        .refused(failure, subject: subject.hasPrefix(path) ? subject : "\(path): \(subject)", expected: expected, found: found)
    }

    /// Runs what reads a member, with its error turned into one of this room.
    private func json<T>(_ body: () throws(JSONError) -> T) throws(PackedFileError) -> T {
        do throws(JSONError) { return try body() } catch {
            guard case .field(let subject, let expected, let found) = error else { throw refused(.directorySyntax, "directory", "JSON", "\(error)") }
            throw refused(.directoryMember, subject, expected, found)
        }
    }

    private func object(_ value: JSONValue, _ subject: String) throws(PackedFileError) -> JSONFields {
        try json { () throws(JSONError) in try JSONFields(value, subject: subject) }
    }

    private func string(_ fields: JSONFields, _ key: String) throws(PackedFileError) -> String {
        try json { () throws(JSONError) in try fields.string(key) }
    }

    /// Nil where the member is absent; null is no string.
    private func optionalString(_ fields: JSONFields, _ key: String) throws(PackedFileError) -> String? {
        fields.object[key] == nil ? nil : try string(fields, key)
    }

    private func int(_ fields: JSONFields, _ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws(PackedFileError) -> Int {
        try json { () throws(JSONError) in try fields.int(key, in: range, default: fallback) }
    }

    private func array(_ fields: JSONFields, _ key: String, limit: Int) throws(PackedFileError) -> [JSONValue] {
        let array = try json { () throws(JSONError) in try fields.array(key) }
        guard array.count <= limit else { throw refused(.countLimit, "\(fields.subject): \(key)", "at most \(limit)", "\(array.count)") }
        return array
    }

    private func strings(_ fields: JSONFields, _ key: String) throws(PackedFileError) -> [String] {
        var strings: [String] = []
        for value in try array(fields, key, limit: Limits.components) {
            guard let string = value.string else { throw refused(.directoryMember, "\(fields.subject): \(key)", "strings", value.kind) }
            strings.append(string)
        }
        return strings
    }

    private func name(_ fields: JSONFields, _ key: String) throws(PackedFileError) -> String {
        let name = try string(fields, key)
        if let problem = NameRules.problem(withName: name) {
            throw refused(.invalidName, "\(fields.subject): \(key)", "1 to \(Limits.nameBytes) bytes without control characters", problem)
        }
        return name
    }

    private func digest(_ fields: JSONFields) throws(PackedFileError) -> String {
        let digest = try string(fields, "sha256")
        guard digest.utf8.count == 64, digest.utf8.allSatisfy(Hex.isDigit) else {
            throw refused(.directoryMember, "\(fields.subject): sha256", "64 lower-case hexadecimal digits", "\"\(digest.prefix(80))\"")
        }
        return digest
    }

    private func choice<T>(
        _ fields: JSONFields, _ key: String, _ failure: PackedFileFailure, _ known: [String], _ make: (String) -> T?
    ) throws(PackedFileError) -> T {
        let text = try string(fields, key)
        guard let value = make(text) else {
            throw refused(failure, "\(fields.subject): \(key)", "one of \(known.joined(separator: ", "))", "\"\(text)\"")
        }
        return value
    }

    private func shape(_ fields: JSONFields, _ subject: String) throws(PackedFileError) -> Shape {
        let values = try json { () throws(JSONError) in try fields.array("shape") }
        let expected = "at most \(Limits.rank) extents of at least 1 whose product fits a file"
        guard values.count <= Limits.rank else { throw refused(.invalidShape, subject, expected, "\(values.count) extents") }
        let extents = values.compactMap { $0.integer }.filter { $0 >= 1 }.map { Int($0) }
        // 8 bytes for an element are the most, so that byte counts of planes and float32 copies cannot overflow.
        guard extents.count == values.count, let shape = Shape(checking: extents), shape.elementCount <= Int.max / 8 else {
            throw refused(.invalidShape, subject, expected, JSONValue.array(values).text)
        }
        return shape
    }

    private func requireUnique(_ names: some Sequence<String>, _ subject: String) throws(PackedFileError) {
        if let name = NameRules.duplicate(in: names) { throw refused(.duplicateName, subject, "names that differ", "\"\(name)\" twice") }
    }
}
