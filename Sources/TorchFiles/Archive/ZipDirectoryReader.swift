import Files
import StrictJSON

/// Reads the directory of an archive from its end, and holds every local header against it.
struct ZipDirectoryReader {
    let file: InputFile
    let limits: ZipArchive.Limits
    private var path: String { file.path }

    init(file: InputFile, limits: ZipArchive.Limits) {
        self.file = file
        self.limits = limits
    }

    private struct Place {
        let offset: UInt64
        let byteCount: UInt64
        let entries: UInt64
    }

    /// All entries, sorted by offset.
    func entries() throws(TorchFileError) -> [ZipEntry] {
        let place = try directoryPlace()
        guard place.entries <= UInt64(limits.entryCount) else { throw .limit(path: path, subject: "entries", limit: limits.entryCount) }
        guard place.byteCount <= limits.directoryByteCount else {
            throw .limit(path: path, subject: "bytes of directory", limit: Int(limits.directoryByteCount))
        }
        var reader = LittleEndian(try bytes(at: place.offset, count: Int(place.byteCount)))
        var entries: [ZipEntry] = []
        var names: Set<ExactString> = []
        for number in 0..<place.entries {
            guard let record = CentralRecord(&reader) else { throw failure("directory", "\(place.entries) entries", "\(number) that are whole") }
            let entry = try entry(record, before: place.offset)
            guard names.insert(ExactString(entry.name)).inserted else {
                throw failure("directory", "every name once", "\(entry.name.quoted) twice")
            }
            entries.append(entry)
        }
        guard reader.remaining == 0 else { throw failure("directory", "\(place.entries) entries", "\(reader.remaining) bytes behind them") }
        entries.sort { ($0.headerOffset, $0.end) < ($1.headerOffset, $1.end) }
        guard let first = entries.first, first.headerOffset == 0 else { throw failure("archive", "an entry at its first byte", "none") }
        for (entry, next) in zip(entries, entries.dropFirst()) where entry.end > next.headerOffset {
            throw failure("directory", "entries apart", "\(entry.name.quoted) and \(next.name.quoted), which overlap")
        }
        return entries
    }

    private func failure(_ part: String, _ expected: String, _ found: String) -> TorchFileError {
        .archive(path: path, part: part, expected: expected, found: found)
    }

    private func bytes(at offset: UInt64, count: Int) throws(TorchFileError) -> [UInt8] {
        do { return try file.bytes(at: offset, count: count) } catch { throw .file(error) }
    }

    /// Where the directory is, from the records at the end of the file: it lies directly before them.
    private func directoryPlace() throws(TorchFileError) -> Place {
        guard file.size >= UInt64(EndRecord.byteCount) else { throw failure("archive", "at least \(EndRecord.byteCount) bytes", "\(file.size)") }
        let endOffset = file.size - UInt64(EndRecord.byteCount)
        guard let end = EndRecord(try bytes(at: endOffset, count: EndRecord.byteCount)), end.commentByteCount == 0 else {
            throw failure("archive", "its end record in the last \(EndRecord.byteCount) bytes", "others: it is cut off, or something was appended")
        }
        guard end.disk == 0, end.directoryDisk == 0, end.entriesHere == end.entries else {
            throw failure("end record", "an archive in one file", "one of several")
        }
        let place: Place
        let directoryEnd: UInt64
        if let (record, offset) = try endRecord64(before: endOffset) {
            place = Place(offset: record.directoryOffset, byteCount: record.directoryByteCount, entries: record.entries)
            directoryEnd = offset
            guard end.entries == .max || UInt64(end.entries) == place.entries,
                end.directoryByteCount == .max || UInt64(end.directoryByteCount) == place.byteCount,
                end.directoryOffset == .max || UInt64(end.directoryOffset) == place.offset
            else { throw failure("end records", "the same in both", "records that disagree") }
        } else {
            guard end.entries != .max, end.directoryByteCount != .max, end.directoryOffset != .max else {
                throw failure("end record", "a 64-bit record beside it", "none")
            }
            place = Place(offset: UInt64(end.directoryOffset), byteCount: UInt64(end.directoryByteCount), entries: UInt64(end.entries))
            directoryEnd = endOffset
        }
        let (sum, overflow) = place.offset.addingReportingOverflow(place.byteCount)
        guard !overflow, sum == directoryEnd else { throw failure("directory", "its end at \(directoryEnd)", overflow ? "beyond 2^64" : "at \(sum)") }
        return place
    }

    private func endRecord64(before endOffset: UInt64) throws(TorchFileError) -> (EndRecord64, offset: UInt64)? {
        let (locatorBytes, recordBytes) = (UInt64(EndLocator.byteCount), UInt64(EndRecord64.byteCount))
        guard endOffset >= locatorBytes, let locator = EndLocator(try bytes(at: endOffset - locatorBytes, count: EndLocator.byteCount)) else { return nil }
        guard endOffset >= locatorBytes + recordBytes else { throw failure("end locator", "a 64-bit end record before it", "the start of the file") }
        let offset = endOffset - locatorBytes - recordBytes
        guard locator.disk == 0, locator.disks <= 1, locator.recordOffset == offset else {
            throw failure("end locator", "the 64-bit end record at \(offset)", "at \(locator.recordOffset)")
        }
        guard let record = EndRecord64(try bytes(at: offset, count: EndRecord64.byteCount)), record.restByteCount == 44, record.disk == 0,
            record.directoryDisk == 0, record.entriesHere == record.entries
        else { throw failure("64-bit end record", "one of \(EndRecord64.byteCount) bytes at \(offset)", "another") }
        return (record, offset)
    }

    // MARK: Entries

    /// An entry from its record in the directory, held against its local header and its descriptor.
    private func entry(_ record: CentralRecord, before directory: UInt64) throws(TorchFileError) -> ZipEntry {
        let name = try name(record.name)
        let subject = "entry \(name.quoted)"
        try checkStored(record.fields, name: name)
        guard record.disk == 0 else { throw failure(subject, "an archive in one file", "one of several") }
        let sizes = try sizes(record, subject: subject)
        let (headerEnd, headerOverflow) = sizes.offset.addingReportingOverflow(UInt64(LocalHeader.byteCount))
        guard !headerOverflow, headerEnd <= directory else { throw failure(subject, "its header before the directory at \(directory)", "at \(sizes.offset)") }
        guard let local = LocalHeader(try bytes(at: sizes.offset, count: LocalHeader.byteCount)) else {
            throw failure(subject, "its header at \(sizes.offset)", "other bytes")
        }
        let offset = headerEnd + UInt64(local.nameByteCount + local.extraByteCount)
        let (end, overflow) = offset.addingReportingOverflow(sizes.byteCount)
        guard offset <= directory, !overflow, end <= directory else {
            throw failure(subject, "\(sizes.byteCount) bytes before the directory at \(directory)", "fewer: it is cut off")
        }
        let names = try bytes(at: headerEnd, count: local.nameByteCount + local.extraByteCount)
        guard names[..<local.nameByteCount].elementsEqual(record.name) else { throw failure(subject, "the same name in its header", "another") }
        guard local.fields.flags == record.fields.flags, local.fields.method == record.fields.method else {
            throw failure(subject, "the same flags and method in its header", "others")
        }
        var entryEnd = end
        if local.fields.flags & EntryFields.hasDescriptor != 0 {
            entryEnd = try descriptorEnd(at: end, record.fields.checksum, sizes.byteCount, is64: sizes.is64, before: directory, subject: subject)
        }
        let isOpen =
            local.fields.flags & EntryFields.hasDescriptor != 0
            && local.fields.checksum == 0 && local.fields.byteCount == 0 && local.fields.storedByteCount == 0
        let extra = Extra64.values(names[local.nameByteCount...])
        guard isOpen || agrees(local.fields, extra: extra, checksum: record.fields.checksum, byteCount: sizes.byteCount) else {
            throw failure(subject, "the same checksum and size in its header", "others")
        }
        guard extra != nil else { throw failure(subject, "whole extra fields in its header", "others") }
        return ZipEntry(
            name: name, checksum: record.fields.checksum, byteCount: sizes.byteCount, headerOffset: sizes.offset, offset: offset, end: entryEnd)
    }

    private func agrees(_ local: EntryFields, extra: [UInt64]?, checksum: UInt32, byteCount: UInt64) -> Bool {
        guard local.checksum == checksum else { return false }
        if local.byteCount == .max, local.storedByteCount == .max { return extra == [byteCount, byteCount] }
        return UInt64(local.byteCount) == byteCount && UInt64(local.storedByteCount) == byteCount
    }

    private func name(_ bytes: ArraySlice<UInt8>) throws(TorchFileError) -> String {
        guard (1...limits.nameByteCount).contains(bytes.count), let name = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw failure("directory", "names of 1 to \(limits.nameByteCount) bytes of UTF-8", String(decoding: bytes.prefix(64), as: UTF8.self).quoted)
        }
        return name
    }

    private func checkStored(_ fields: EntryFields, name: String) throws(TorchFileError) {
        guard fields.flags & (EntryFields.encrypted | EntryFields.strongEncryption | EntryFields.maskedHeaders) == 0 else {
            throw .unsupportedEntry(path: path, entry: name, found: "encrypted ones", advice: "decrypt the archive first")
        }
        guard fields.method == 0 else {
            throw .unsupportedEntry(
                path: path, entry: name, found: fields.method == 8 ? "deflated ones" : "the compression method \(fields.method)",
                advice: "the archive was packed again by another program; unpack it and pack it without compression (zip -0), or save it again")
        }
        guard fields.flags & ~(EntryFields.hasDescriptor | EntryFields.isUTF8) == 0 else {
            throw failure("entry \(name.quoted)", "no flags but bits 3 and 11", "0x\(String(fields.flags, radix: 16))")
        }
    }

    /// Size and place of an entry. 64-bit values stand in the extra field, exactly those whose 32 bits are all set.
    private func sizes(_ record: CentralRecord, subject: String) throws(TorchFileError) -> (byteCount: UInt64, offset: UInt64, is64: Bool) {
        guard var extra = Extra64.values(record.extra) else { throw failure(subject, "whole extra fields", "others") }
        let is64 = !extra.isEmpty
        extra.reverse()
        func value(_ short: UInt32) throws(TorchFileError) -> UInt64 {
            guard short == .max else { return UInt64(short) }
            guard let long = extra.popLast() else { throw failure(subject, "its 64-bit values", "none") }
            return long
        }
        let byteCount = try value(record.fields.byteCount)
        let stored = try value(record.fields.storedByteCount)
        let offset = try value(record.localOffset)
        guard extra.isEmpty else { throw failure(subject, "64-bit values for what does not fit 32 bits", "more") }
        guard stored == byteCount else { throw failure(subject, "as many bytes stored as it has, \(byteCount)", "\(stored)") }
        return (byteCount, offset, is64)
    }

    /// Behind the record that follows the data: signature, checksum and both sizes of 4 or 8 bytes, as the directory has them.
    private func descriptorEnd(
        at offset: UInt64, _ checksum: UInt32, _ byteCount: UInt64, is64: Bool, before directory: UInt64, subject: String
    ) throws(TorchFileError) -> UInt64 {
        let found = try bytes(at: offset, count: Int(min(24, directory - offset)))
        func isDescriptor(_ isWide: Bool) -> Bool {
            var reader = LittleEndian(found)
            guard reader.integer(UInt32.self) == 0x0807_4B50, reader.integer(UInt32.self) == checksum else { return false }
            for _ in 0..<2 {
                let size = isWide ? reader.integer(UInt64.self) : reader.integer(UInt32.self).map { UInt64($0) }
                guard size == byteCount else { return false }
            }
            return true
        }
        // Which width it has is said nowhere; writers take the wide one with 64-bit values.
        for isWide in [is64, !is64] where isDescriptor(isWide) { return offset + (isWide ? 24 : 16) }
        throw failure(subject, "its checksum and size behind its data", "others")
    }
}
