import Files
import StrictJSON

/// The zip archive of one torch.save, its whole directory validated by the rules of Formats/checkpoint.md: they are those of the files that torch
/// writes, not of zip in general.
struct ZipArchive: Sendable {
    let file: InputFile
    /// Sorted by offset: no two overlap.
    let entries: [ZipEntry]
    private let index: [ExactString: Int]
    /// Whether checksums were computed at all: torch can be told to write 0 everywhere.
    let hasChecksums: Bool

    struct Limits {
        var entryCount = 65_536
        var directoryByteCount: UInt64 = 16 << 20
        var nameByteCount = 512
    }

    init(_ file: InputFile, limits: Limits = .init()) throws(TorchFileError) {
        let reader = ZipDirectoryReader(file: file, limits: limits)
        let entries = try reader.entries()
        self.file = file
        self.entries = entries
        index = Dictionary(uniqueKeysWithValues: entries.enumerated().map { (ExactString($1.name), $0) })
        hasChecksums = entries.contains { $0.checksum != 0 }
    }

    func entry(_ name: String) -> ZipEntry? { index[ExactString(name)].map { entries[$0] } }

    /// The bytes of a small entry, their checksum compared where the archive has checksums.
    func contents(_ entry: ZipEntry, limit: UInt64) throws(TorchFileError) -> [UInt8] {
        guard entry.byteCount <= limit else { throw .limit(path: file.path, subject: "bytes in the entry \(entry.name.quoted)", limit: Int(limit)) }
        let bytes: [UInt8]
        do { bytes = try file.bytes(at: entry.offset, count: Int(entry.byteCount)) } catch { throw .file(error) }
        let checksum = CRC32.hash(bytes)
        guard !hasChecksums || checksum == entry.checksum else {
            throw .checksum(path: file.path, entry: entry.name, expected: entry.checksum, found: checksum)
        }
        return bytes
    }
}
