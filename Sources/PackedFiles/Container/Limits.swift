/// The bounds of Formats/packed.md, section "Limits": what a reader refuses before it allocates or loops.
package enum Limits {
    /// Content bytes of a directory, of tensors or of attachments.
    package static let directoryBytes = 64 << 20
    /// A directory larger than this is stored compressed.
    package static let plainDirectoryBytes = 4096
    package static let directoryDepth = 16
    /// JSON values of a directory: a tree of them takes some fifty bytes for each, and no directory that describes tensors has so many.
    package static func directoryValues(byteCount: Int) -> Int { max(65_536, byteCount / 8) }
    package static let tensors = 65_536
    package static let blobs = 4096
    /// Content bytes of a blob or an attachment, which are read whole: the most that a tokenizer's file may have in a checkpoint.
    package static let blobBytes: UInt64 = 64 << 20
    package static let components = 64
    package static let sourcesPerTensor = 64
    package static let planesPerTensor = 16
    package static let nameBytes = 512
    package static let rank = 8
    /// Content bytes of a frame; writers fill every frame but the last of a section.
    package static let frameBytes = 1 << 20
    /// Largest window that a zstd frame may ask for.
    package static let windowBytes: UInt64 = 1 << 20
    /// Sections start at multiples of this.
    package static let alignment: UInt64 = 64
}
