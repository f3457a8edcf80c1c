/// The fixed-size records of a zip archive (APPNOTE.TXT 4.3, 4.5.3), each from the bytes that hold it. Nil where a signature is another one.
///
/// 22 bytes at the end of every archive.
struct EndRecord {
    static let byteCount = 22
    let disk: UInt16
    let directoryDisk: UInt16
    let entriesHere: UInt16
    let entries: UInt16
    let directoryByteCount: UInt32
    let directoryOffset: UInt32
    let commentByteCount: UInt16

    init?(_ bytes: [UInt8]) {
        var reader = LittleEndian(bytes)
        guard reader.integer(UInt32.self) == 0x0605_4B50, let disk = reader.integer(UInt16.self), let directoryDisk = reader.integer(UInt16.self),
            let here = reader.integer(UInt16.self), let entries = reader.integer(UInt16.self), let size = reader.integer(UInt32.self),
            let offset = reader.integer(UInt32.self), let comment = reader.integer(UInt16.self)
        else { return nil }
        (self.disk, self.directoryDisk, entriesHere, self.entries) = (disk, directoryDisk, here, entries)
        (directoryByteCount, directoryOffset, commentByteCount) = (size, offset, comment)
    }
}

/// 56 bytes before the locator, where an archive has 64-bit sizes.
struct EndRecord64 {
    static let byteCount = 56
    /// 44 without an extension.
    let restByteCount: UInt64
    let disk: UInt32
    let directoryDisk: UInt32
    let entriesHere: UInt64
    let entries: UInt64
    let directoryByteCount: UInt64
    let directoryOffset: UInt64

    init?(_ bytes: [UInt8]) {
        var reader = LittleEndian(bytes)
        guard reader.integer(UInt32.self) == 0x0606_4B50, let rest = reader.integer(UInt64.self), reader.slice(4) != nil,
            let disk = reader.integer(UInt32.self), let directoryDisk = reader.integer(UInt32.self), let here = reader.integer(UInt64.self),
            let entries = reader.integer(UInt64.self), let size = reader.integer(UInt64.self), let offset = reader.integer(UInt64.self)
        else { return nil }
        (restByteCount, self.disk, self.directoryDisk) = (rest, disk, directoryDisk)
        (entriesHere, self.entries, directoryByteCount, directoryOffset) = (here, entries, size, offset)
    }
}

/// 20 bytes before the end record, where there is a 64-bit one: where that is.
struct EndLocator {
    static let byteCount = 20
    let disk: UInt32
    let recordOffset: UInt64
    let disks: UInt32

    init?(_ bytes: [UInt8]) {
        var reader = LittleEndian(bytes)
        guard reader.integer(UInt32.self) == 0x0706_4B50, let disk = reader.integer(UInt32.self), let offset = reader.integer(UInt64.self),
            let disks = reader.integer(UInt32.self)
        else { return nil }
        (self.disk, recordOffset, self.disks) = (disk, offset, disks)
    }
}

/// What the central directory and a local header both say of an entry.
struct EntryFields {
    let flags: UInt16
    let method: UInt16
    let checksum: UInt32
    let storedByteCount: UInt32
    let byteCount: UInt32

    static let encrypted: UInt16 = 1 << 0
    /// Checksum and sizes follow the data.
    static let hasDescriptor: UInt16 = 1 << 3
    static let strongEncryption: UInt16 = 1 << 6
    static let isUTF8: UInt16 = 1 << 11
    static let maskedHeaders: UInt16 = 1 << 13

    init?(_ reader: inout LittleEndian) {
        guard let flags = reader.integer(UInt16.self), let method = reader.integer(UInt16.self), reader.slice(4) != nil,
            let checksum = reader.integer(UInt32.self), let stored = reader.integer(UInt32.self), let size = reader.integer(UInt32.self)
        else { return nil }
        (self.flags, self.method, self.checksum, storedByteCount, byteCount) = (flags, method, checksum, stored, size)
    }
}

/// One entry of the central directory: 46 bytes, its name, extra fields and comment.
struct CentralRecord {
    let fields: EntryFields
    let name: ArraySlice<UInt8>
    let extra: ArraySlice<UInt8>
    let disk: UInt16
    let localOffset: UInt32

    init?(_ reader: inout LittleEndian) {
        guard reader.integer(UInt32.self) == 0x0201_4B50, reader.slice(4) != nil, let fields = EntryFields(&reader),
            let nameCount = reader.integer(UInt16.self), let extraCount = reader.integer(UInt16.self), let commentCount = reader.integer(UInt16.self),
            let disk = reader.integer(UInt16.self), reader.slice(6) != nil, let offset = reader.integer(UInt32.self),
            let name = reader.slice(Int(nameCount)), let extra = reader.slice(Int(extraCount)), reader.slice(Int(commentCount)) != nil
        else { return nil }
        (self.fields, self.name, self.extra, self.disk, localOffset) = (fields, name, extra, disk, offset)
    }
}

/// The header before an entry's data: 30 bytes, its name and extra fields, which need not be those of the central directory.
struct LocalHeader {
    static let byteCount = 30
    let fields: EntryFields
    let nameByteCount: Int
    let extraByteCount: Int

    init?(_ bytes: [UInt8]) {
        var reader = LittleEndian(bytes)
        guard reader.integer(UInt32.self) == 0x0403_4B50, reader.slice(2) != nil, let fields = EntryFields(&reader),
            let nameCount = reader.integer(UInt16.self), let extraCount = reader.integer(UInt16.self)
        else { return nil }
        (self.fields, nameByteCount, extraByteCount) = (fields, Int(nameCount), Int(extraCount))
    }
}

/// The extra field with 64-bit values, id 1.
enum Extra64 {
    /// The values, in order; nil where the fields are not whole or the id comes twice, empty where there is none of id 1.
    static func values(_ extra: ArraySlice<UInt8>) -> [UInt64]? {
        var reader = LittleEndian(extra)
        var values: [UInt64]?
        while reader.remaining > 0 {
            guard let id = reader.integer(UInt16.self), let count = reader.integer(UInt16.self), let content = reader.slice(Int(count)) else { return nil }
            guard id == 1 else { continue }
            guard values == nil, content.count % 8 == 0 else { return nil }
            var numbers = LittleEndian(content)
            values = (0..<content.count / 8).compactMap { _ in numbers.integer(UInt64.self) }
        }
        return values ?? []
    }
}
