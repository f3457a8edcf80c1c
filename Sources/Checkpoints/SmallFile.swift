import Files

/// A file of a checkpoint that is carried along byte for byte: configurations and the tokenizer's files.
package struct SmallFile: Sendable, Equatable {
    /// Relative to the checkpoint's folder: "tokenizer/tokenizer.json".
    package let path: String
    package let bytes: [UInt8]

    /// What one configuration may have.
    static let configurationLimit: UInt64 = 1 << 20
    /// What one file of a tokenizer may have: the real Gemma's tokenizer.json has some 17 to 34 MB.
    static let tokenizerLimit: UInt64 = 64 << 20
    /// What all of them may have together.
    static let totalLimit: UInt64 = 256 << 20

    /// The content of a regular file of at most `limit` bytes.
    static func read(_ path: String, limit: UInt64) throws(CheckpointError) -> [UInt8] {
        do {
            let file = try InputFile(path: path)
            let bytes = try file.contents(limit: limit)
            try file.checkUnchanged()
            return bytes
        } catch { throw .file(error) }
    }
}
