import Files

/// A zip archive put together from parts that need not fit each other. As it stands it is what torch.save writes.
package struct RawZip {
    package struct Entry {
        package var name: String
        package var bytes: [UInt8]
        package var flags: UInt16 = 0x0808
        package var method: UInt16 = 0
        /// What the local header says where it is not what torch writes there: the same flags and method, no checksum, no sizes.
        package var localName: String?
        package var localFlags: UInt16?
        package var localMethod: UInt16?
        package var localChecksum: UInt32 = 0
        package var localByteCount: UInt32 = 0
        /// The extra field of the local header: torch aligns data with it.
        package var localExtra: [UInt8] = [0x46, 0x42, 4, 0] + Array("ZZZZ".utf8)
        package var centralExtra: [UInt8] = []
        /// The true one where nil.
        package var checksum: UInt32?
        package var storedByteCount: UInt32?
        package var byteCount: UInt32?
        package var offset: UInt32?
        package var descriptor: [UInt8]?
        /// Whether its bytes are left out and the header of the entry before serves both.
        package var hasNoBody = false

        package init(_ name: String, _ bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
    }

    package var entries: [Entry]
    package var hasRecord64 = true
    package var declaredEntries: Int?
    package var directoryOffsetError: Int64 = 0
    package var tail: [UInt8] = []
    /// Two descriptors of 24 bytes instead of 16.
    package var hasWideDescriptors = false

    package init(_ entries: [Entry]) { self.entries = entries }

    package static func little<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        (0..<Integer.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Integer(8 * $0)) }
    }

    package var bytes: [UInt8] {
        var file: [UInt8] = []
        var offsets: [Int] = []
        for entry in entries {
            offsets.append(entry.hasNoBody ? offsets.last ?? 0 : file.count)
            guard !entry.hasNoBody else { continue }
            let name = Array((entry.localName ?? entry.name).utf8)
            file += Array("PK".utf8) + [3, 4, 0, 0] + Self.little(entry.localFlags ?? entry.flags) + Self.little(entry.localMethod ?? entry.method)
            file += [0, 0, 0, 0] + Self.little(entry.localChecksum) + Self.little(entry.localByteCount) + Self.little(entry.localByteCount)
            file += Self.little(UInt16(name.count)) + Self.little(UInt16(entry.localExtra.count)) + name + entry.localExtra + entry.bytes
            guard entry.flags & 8 != 0 else { continue }
            let checksum = Self.little(entry.checksum ?? CRC32.hash(entry.bytes))
            let size = hasWideDescriptors ? Self.little(UInt64(entry.bytes.count)) : Self.little(UInt32(entry.bytes.count))
            file += entry.descriptor ?? Array("PK".utf8) + [7, 8] + checksum + size + size
        }
        let start = file.count
        for (entry, offset) in zip(entries, offsets) {
            file += Array("PK".utf8) + [1, 2, 0, 0, 0, 0] + Self.little(entry.flags) + Self.little(entry.method) + [0, 0, 0, 0]
            file += Self.little(entry.checksum ?? CRC32.hash(entry.bytes))
            file += Self.little(entry.storedByteCount ?? UInt32(entry.bytes.count)) + Self.little(entry.byteCount ?? UInt32(entry.bytes.count))
            file += Self.little(UInt16(entry.name.utf8.count)) + Self.little(UInt16(entry.centralExtra.count)) + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            file += Self.little(entry.offset ?? UInt32(offset)) + Array(entry.name.utf8) + entry.centralExtra
        }
        let end = file.count
        let count = declaredEntries ?? entries.count
        let place = UInt64(bitPattern: Int64(start) + directoryOffsetError)
        if hasRecord64 {
            file += Array("PK".utf8) + [6, 6] + Self.little(44 as UInt64) + [0x1E, 3, 0x2D, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            file += Self.little(UInt64(count)) + Self.little(UInt64(count)) + Self.little(UInt64(end - start)) + Self.little(place)
            file += Array("PK".utf8) + [6, 7, 0, 0, 0, 0] + Self.little(UInt64(end)) + Self.little(1 as UInt32)
        }
        file += Array("PK".utf8) + [5, 6, 0, 0, 0, 0] + Self.little(UInt16(truncatingIfNeeded: count)) + Self.little(UInt16(truncatingIfNeeded: count))
        return file + Self.little(UInt32(end - start)) + Self.little(UInt32(truncatingIfNeeded: place)) + [0, 0] + tail
    }
}
