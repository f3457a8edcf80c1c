package import StrictJSON

/// What a packed file holds and where it comes from (Formats/packed.md, "Directory").
package struct Directory: Sendable, Equatable {
    /// The program that wrote the file: "sprintpack 1.0.0".
    package var tool: String
    /// The zstd library that compressed it.
    package var zstd = Zstd.version
    package var preset: String
    /// Rules and options of the conversion, for people and for `verify`; no reader needs them to decode.
    package var policy: JSONValue
    /// The rewrites of the graph that the weights have been through, in the words of Formats/schemes.md.
    package var fusions: [String]
    package var components: [ComponentEntry]
    package var sourceFiles: [SourceFile]
    package var tensors: [TensorEntry] = []
    package var blobs: [BlobEntry] = []

    package init(tool: String, preset: String, policy: JSONValue, fusions: [String], components: [ComponentEntry], sourceFiles: [SourceFile]) {
        self.tool = tool
        self.preset = preset
        self.policy = policy
        self.fusions = fusions
        self.components = components
        self.sourceFiles = sourceFiles
    }
}

/// A part of the model that the file holds.
package struct ComponentEntry: Sendable, Equatable {
    package let name: String
    /// The blob with its configuration, where it has one.
    let configuration: String?

    package init(name: String, configuration: String?) {
        self.name = name
        self.configuration = configuration
    }
}

/// A file of the checkpoint that was read.
package struct SourceFile: Sendable, Equatable {
    /// Relative to the checkpoint's folder; of an adapter "lora/N/" and the file's name, N counting from 1.
    package let path: String
    package let byteCount: UInt64
    /// Of an adapter: SHA-256 of the whole file.
    package let sha256: String?
    /// Of an adapter: what its additions were multiplied by.
    package let weight: Double?

    package init(path: String, byteCount: UInt64, sha256: String? = nil, weight: Double? = nil) {
        (self.path, self.byteCount, self.sha256, self.weight) = (path, byteCount, sha256, weight)
    }
}

extension Directory {
    /// The adapters that went into the weights, in order.
    package var adapters: [SourceFile] { sourceFiles.filter { $0.weight != nil } }
}

/// A small file kept byte for byte: a configuration, the tokenizer, or an attachment.
package struct BlobEntry: Sendable, Equatable {
    /// A relative path of plain names: "transformer/config.json".
    package let name: String
    package let section: Section
}
