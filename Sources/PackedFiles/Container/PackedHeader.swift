package import Files

/// The first 128 bytes of a packed file (Formats/packed.md, "Header").
package struct PackedHeader: Sendable, Equatable {
    static let byteCount = 128
    /// "\x89SPRINT\n": the first byte is not ASCII, and the line end shows a transfer in text mode.
    package static let magic: [UInt8] = [0x89, 0x53, 0x50, 0x52, 0x49, 0x4E, 0x54, 0x0A]
    package static let majorVersion: UInt16 = 1
    /// The newest that is written: 1 of a file with adapters, whose records have members that 1.0 does not know, else 0.
    package static let minorVersion: UInt16 = 1

    package var major = majorVersion
    package var minor: UInt16 = 0
    var mustUnderstand: MustUnderstand = []
    var mayIgnore: UInt32 = 0
    package var totalByteCount: UInt64 = 0
    var directory = DirectoryLocation()
    var attachments = DirectoryLocation()
    /// SHA-256 of the directory's canonical text.
    var contentHash = [UInt8](repeating: 0, count: 32)

    /// Flags without whose meaning a file cannot be read.
    struct MustUnderstand: OptionSet, Sendable, Hashable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }

        static let compressedDirectory = MustUnderstand(rawValue: 1)
        static let compressedAttachments = MustUnderstand(rawValue: 2)
        static let known: MustUnderstand = [.compressedDirectory, .compressedAttachments]
    }

    /// Where a directory lies; all zero where there is none.
    struct DirectoryLocation: Sendable, Equatable {
        var offset: UInt64 = 0
        var storedByteCount: UInt32 = 0
        var contentByteCount: UInt32 = 0
        /// XXH3-64 of the stored bytes.
        var checksum: UInt64 = 0

        var isAbsent: Bool { self == DirectoryLocation() }
    }

    init() {}

    var contentHashDigits: String { contentHash.map { Hex.digits(UInt64($0), width: 2) }.joined() }
}

extension OutputKind {
    /// A packed file, damaged or not.
    package static let packedFile = OutputKind("a .sprint file") { $0.has(PackedHeader.magic) }
}

extension PackedHeader {
    /// The header as it is stored, with its checksum.
    var bytes: [UInt8] {
        var bytes = Self.magic
        bytes.appendLittleEndian(major)
        bytes.appendLittleEndian(minor)
        bytes.appendLittleEndian(mustUnderstand.rawValue)
        bytes.appendLittleEndian(mayIgnore)
        bytes.appendLittleEndian(UInt32(Self.byteCount))
        bytes.appendLittleEndian(totalByteCount)
        for location in [directory, attachments] {
            bytes.appendLittleEndian(location.offset)
            bytes.appendLittleEndian(location.storedByteCount)
            bytes.appendLittleEndian(location.contentByteCount)
            bytes.appendLittleEndian(location.checksum)
        }
        bytes.append(contentsOf: contentHash)
        bytes.appendLittleEndian(UInt64(0))
        bytes.appendLittleEndian(XXH3.hash(bytes))
        return bytes
    }

    /// Reads and checks everything that the header alone can show, and the length of the file against it.
    init(_ bytes: [UInt8], fileByteCount: UInt64, path: String) throws(PackedFileError) {
        func refuse(_ failure: PackedFileFailure, _ subject: String, _ expected: String, _ found: String) -> PackedFileError {
            .refused(failure, subject: "\(path): header: \(subject)", expected: expected, found: found)
        }
        guard bytes.count >= Self.magic.count, bytes.starts(with: Self.magic) else {
            let start = bytes.prefix(8).map { Hex.digits(UInt64($0), width: 2) }.joined(separator: " ")
            throw refuse(.notPackedFile, "magic", "89 53 50 52 49 4e 54 0a", start.isEmpty ? "an empty file" : start)
        }
        guard bytes.count == Self.byteCount else {
            throw refuse(.fileLength, "length of the file", "at least \(Self.byteCount) bytes", "\(fileByteCount)")
        }
        var fields = LittleEndianFields(bytes: bytes, position: Self.magic.count)
        // Before the checksum: another major version may keep it elsewhere.
        major = fields.next(UInt16.self)
        guard major == Self.majorVersion else { throw refuse(.unsupportedVersion, "major version", "\(Self.majorVersion)", "\(major)") }
        let checksum = XXH3.hash(Array(bytes[..<120]))
        var last = LittleEndianFields(bytes: bytes, position: 120)
        let recorded = last.next(UInt64.self)
        guard checksum == recorded else { throw refuse(.headerChecksum, "XXH3-64", Hex.digits(recorded), Hex.digits(checksum)) }

        minor = fields.next(UInt16.self)
        mustUnderstand = MustUnderstand(rawValue: fields.next(UInt32.self))
        mayIgnore = fields.next(UInt32.self)
        let headerByteCount = fields.next(UInt32.self)
        totalByteCount = fields.next(UInt64.self)
        directory = fields.location()
        attachments = fields.location()
        contentHash = fields.bytes(32)
        let reserved = fields.next(UInt64.self)

        let unknown = mustUnderstand.subtracting(.known).rawValue
        guard unknown == 0 else { throw refuse(.unknownFlags, "must-understand flags", "none but 0x3", "0x\(String(mustUnderstand.rawValue, radix: 16))") }
        guard headerByteCount == Self.byteCount else { throw refuse(.headerField, "header length", "\(Self.byteCount)", "\(headerByteCount)") }
        guard reserved == 0 else { throw refuse(.headerField, "reserved bytes", "0", Hex.digits(reserved)) }
        guard totalByteCount == fileByteCount else { throw refuse(.fileLength, "length of the file", "\(totalByteCount) bytes", "\(fileByteCount)") }
        try Self.check(directory, "directory", isCompressed: mustUnderstand.contains(.compressedDirectory), refuse)
        guard directory.storedByteCount > 0 else { throw refuse(.headerField, "directory: stored length", "at least 1", "0") }
        if attachments.isAbsent {
            guard !mustUnderstand.contains(.compressedAttachments) else {
                throw refuse(.headerField, "attachment directory", "one, as its flag says", "none")
            }
        } else {
            try Self.check(attachments, "attachment directory", isCompressed: mustUnderstand.contains(.compressedAttachments), refuse)
        }
    }

    private static func check(
        _ location: DirectoryLocation, _ name: String, isCompressed: Bool, _ refuse: (PackedFileFailure, String, String, String) -> PackedFileError
    ) throws(PackedFileError) {
        let limit = UInt32(Limits.directoryBytes)
        guard location.contentByteCount <= limit else {
            throw refuse(.directoryLimit, "\(name): content length", "at most \(limit)", "\(location.contentByteCount)")
        }
        // Stored plainly both lengths are one; compressed, a frame that is longer than its content has no reason to be.
        guard isCompressed ? location.storedByteCount < location.contentByteCount : location.storedByteCount == location.contentByteCount else {
            throw refuse(
                .headerField, "\(name): stored length",
                isCompressed ? "less than the content length \(location.contentByteCount)" : "\(location.contentByteCount)",
                "\(location.storedByteCount)")
        }
    }
}

/// Reads fixed-width numbers one after the other; the caller has made sure that they are there.
private struct LittleEndianFields {
    let bytes: [UInt8]
    var position: Int

    mutating func next<Number: FixedWidthInteger & UnsignedInteger>(_ type: Number.Type) -> Number {
        var value: Number = 0
        for index in (0..<MemoryLayout<Number>.size).reversed() { value = value << 8 | Number(bytes[position + index]) }
        position += MemoryLayout<Number>.size
        return value
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func location() -> PackedHeader.DirectoryLocation {
        PackedHeader.DirectoryLocation(
            offset: next(UInt64.self), storedByteCount: next(UInt32.self), contentByteCount: next(UInt32.self), checksum: next(UInt64.self))
    }
}

extension [UInt8] {
    fileprivate mutating func appendLittleEndian<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) {
        for index in 0..<MemoryLayout<Number>.size { append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
}
