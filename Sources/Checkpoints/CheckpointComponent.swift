import Files
package import Safetensors
package import StrictJSON
package import Tensors

/// One component of a checkpoint: its configuration, and its tensors from one file or many shards.
package final class CheckpointComponent: Sendable {
    /// Key in `model_index.json`: "transformer".
    package let name: String
    /// The class that `model_index.json` gives it.
    package let className: String
    package let folder: String
    /// Its configuration; an empty object where a tokenizer has none.
    package let configuration: JSONValue
    package let configurationText: [UInt8]
    /// Its weight files, sorted by name; none for tokenizer and scheduler.
    package let files: [SafetensorsFile]
    /// The variant of the files: "fp16", or nil for the plain ones.
    package let variant: String?
    /// Weight files in the folder that are not used: other variants, other formats.
    package let unusedFiles: [String]
    /// The tensors' names, sorted by bytes, without a prefix that the model class put before all of them.
    package let tensorNames: [String]
    /// Stored tensors that are no part of the model, with the reason, sorted by name.
    package let ignoredTensors: [(name: String, reason: String)]
    private let places: [ExactString: Place]

    private struct Place: Sendable {
        let file: Int
        let entry: SafetensorsHeader.Entry
    }

    init(
        rule: ComponentRule, className: String, folder: String, configuration: JSONValue, configurationText: [UInt8],
        weights: (files: [SafetensorsFile], variant: String?, unused: [String])
    ) throws(CheckpointError) {
        name = rule.name
        self.className = className
        self.folder = folder
        self.configuration = configuration
        self.configurationText = configurationText
        files = weights.files
        variant = weights.variant
        unusedFiles = weights.unused
        var places: [ExactString: Place] = [:]
        var ignored: [(name: String, reason: String)] = []
        for (file, source) in weights.files.enumerated() {
            for entry in source.header.entries {
                if let reason = rule.ignored[entry.name] {
                    ignored.append((entry.name, reason))
                    continue
                }
                let hasPrefix = !rule.optionalPrefix.isEmpty && entry.name.utf8.starts(with: rule.optionalPrefix.utf8)
                let name = hasPrefix ? String(decoding: entry.name.utf8.dropFirst(rule.optionalPrefix.utf8.count), as: UTF8.self) : entry.name
                if let other = places.updateValue(Place(file: file, entry: entry), forKey: ExactString(name)) {
                    throw .nameCollision(folder: folder, tensor: name, stored: [other.entry.name, entry.name])
                }
            }
        }
        self.places = places
        tensorNames = places.keys.sorted().map(\.string)
        ignoredTensors = ignored.sorted { ExactString($0.name) < ExactString($1.name) }
    }

    /// The tensor of that name, as its file has it: the entry's own name may have the prefix that `tensorNames` lacks.
    package func entry(_ name: String) -> SafetensorsHeader.Entry? { places[ExactString(name)]?.entry }

    /// The file that holds the tensor of that name.
    package func file(of name: String) -> SafetensorsFile? { places[ExactString(name)].map { files[$0.file] } }

    /// Reads a whole tensor.
    package func read(_ name: String) throws(CheckpointError) -> EncodedTensor {
        let place = try place(of: name)
        do { return try files[place.file].read(place.entry.name) } catch { throw .safetensors(error) }
    }

    /// Reads the bytes `range` of a tensor.
    /// - Precondition: the range lies inside the tensor, and the buffer is as long as the range.
    @unsafe package func read(_ name: String, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        let place = try place(of: name)
        do { unsafe try files[place.file].read(place.entry, range: range, into: buffer) } catch { throw .safetensors(error) }
    }

    private func place(of name: String) throws(CheckpointError) -> Place {
        guard let place = places[ExactString(name)] else { throw .missingTensor(folder: folder, tensor: name) }
        return place
    }

    /// Throws when a weight file was changed since it was opened: called after the last read.
    package func checkUnchanged() throws(CheckpointError) {
        for file in files {
            do { try file.checkUnchanged() } catch { throw .safetensors(error) }
        }
    }
}
