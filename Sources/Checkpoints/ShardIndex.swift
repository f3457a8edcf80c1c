import Files
import Safetensors
import StrictJSON

/// A `*.safetensors.index.json`: which shard holds which tensor.
package struct ShardIndex {
    package let path: String
    /// Tensor and shard, in the order of the file.
    private let places: [CheckpointError.TensorPlace]
    /// The shards, sorted by name.
    private let shards: [String]

    private static let byteLimit: UInt64 = 16 << 20
    /// Every shard stays open; a process may have 1024 files.
    private static let shardLimit = 256

    /// Reads and validates the text of an index; no shard is opened.
    package init(path: String) throws(CheckpointError) {
        let text = try SmallFile.read(path, limit: Self.byteLimit)
        let fields: JSONFields
        let map: JSONObject
        do {
            let limit = SafetensorsHeader.Limits().tensorCount + 1024
            fields = try JSONFields(try JSONValue.parse(text, maximumDepth: 8, maximumValues: limit), subject: "the index")
            map = try fields.fields("weight_map").object
        } catch { throw .json(path: path, error) }
        var places: [CheckpointError.TensorPlace] = []
        var shards: Set<String> = []
        for (tensor, value) in map.members {
            guard let name = value.string else {
                throw .json(path: path, .field(subject: "weight_map: \(tensor.quoted)", expected: "a string", found: value.kind))
            }
            guard Paths.isPlainName(name), WeightFiles.isSafetensors(name) else { throw .shardName(index: path, tensor: tensor, found: name) }
            shards.insert(name)
            places.append(.init(tensor: tensor, file: name))
        }
        guard shards.count <= Self.shardLimit else { throw .tooManyShards(index: path, limit: Self.shardLimit, found: shards.count) }
        self.path = path
        self.places = places
        self.shards = shards.sorted { ExactString($0) < ExactString($1) }
    }

    /// Opens the shards in `folder` and compares what they hold with the index, both ways.
    package func open(in folder: String) throws(CheckpointError) -> [any TensorFile] {
        let missing = shards.filter { !Paths.exists(Paths.join(folder, $0)) }
        guard missing.isEmpty else { throw .missingShards(index: path, shards: missing) }
        var files: [SafetensorsFile] = []
        for shard in shards { files.append(try SafetensorsFile.opened(Paths.join(folder, shard))) }
        try compare(files)
        return files
    }

    private func compare(_ files: [SafetensorsFile]) throws(CheckpointError) {
        var listed: [ExactString: String] = [:]
        for place in places { listed[ExactString(place.tensor)] = place.file }
        var missing: [CheckpointError.TensorPlace] = []
        var unlisted: [CheckpointError.TensorPlace] = []
        let byName = Dictionary(uniqueKeysWithValues: zip(shards.map(ExactString.init), files))
        for place in places where byName[ExactString(place.file)]?.entry(place.tensor) == nil { missing.append(place) }
        for (shard, file) in zip(shards, files) {
            for entry in file.header.entries where listed[ExactString(entry.name)].map(ExactString.init) != ExactString(shard) {
                unlisted.append(.init(tensor: entry.name, file: shard))
            }
        }
        guard missing.isEmpty, unlisted.isEmpty else { throw .indexDisagrees(index: path, missing: missing, unlisted: unlisted) }
    }
}
