/// A file inside an archive, stored as it is.
struct ZipEntry: Sendable, Equatable {
    let name: String
    /// CRC-32 of the bytes, as the archive has it.
    let checksum: UInt32
    let byteCount: UInt64
    /// Where the local header begins.
    let headerOffset: UInt64
    /// Where the bytes begin.
    let offset: UInt64
    /// Behind the last byte that belongs to the entry, its descriptor included.
    let end: UInt64
}
