/// The bounds of Formats/packed.md, section "Limits": what a reader refuses before it allocates or loops.
enum Limits {
    /// Content bytes of a directory, of tensors or of attachments.
    static let directoryBytes = 64 << 20
    /// A directory larger than this is stored compressed.
    static let plainDirectoryBytes = 4096
    static let directoryDepth = 16
    /// JSON values of a directory: a tree of them takes some fifty bytes for each, and no directory that describes tensors has so many.
    static func directoryValues(byteCount: Int) -> Int { max(65_536, byteCount / 8) }
    static let tensors = 65_536
    static let blobs = 4096
    /// Content bytes of a blob or an attachment, which are read whole: the most that a tokenizer's file may have in a checkpoint.
    static let blobBytes: UInt64 = 64 << 20
    static let components = 64
    static let sourcesPerTensor = 64
    static let planesPerTensor = 16
    static let nameBytes = 512
    static let rank = 8
    /// Content bytes of a frame; writers fill every frame but the last of a section.
    static let frameBytes = 1 << 20
    /// Largest window that a zstd frame may ask for.
    static let windowBytes: UInt64 = 1 << 20
    /// Sections start at multiples of this.
    static let alignment: UInt64 = 64
}
