import Files
import PackedFiles
import StrictJSON
import Tensors
import TestKit

/// Packed files. Checksums are made right after each mutation, so that it is the parser behind them that sees it.
extension ParserUnderFuzz {
    static let packedFiles = [
        ParserUnderFuzz(name: "packed-file", seeds: vectors) { try readPacked($0) },
        ParserUnderFuzz(name: "packed", seeds: vectors) { try readPacked(Seals(bytes: $0).sealed) },
        ParserUnderFuzz(name: "packed-frames", seeds: vectors) { try readPacked(Seals(bytes: $0).withFrames.sealed) },
    ]

    private static func readPacked(_ bytes: [UInt8]) throws {
        let onDisk = try InMemoryFile(bytes)
        let file = try PackedFile.open(onDisk.path)
        let findings = file.verifyIntegrity()
        for entry in file.directory.tensors where entry.shape.elementCount <= 1 << 14 {
            let planes = try file.planes(of: entry)
            let values = try entry.scheme.decode(planes, shape: entry.shape)
            try Unsound.unless(values.shape == entry.shape, "a tensor of another shape")
        }
        for blob in file.attachments where blob.section.contentByteCount <= 1 << 16 { _ = try file.attachment(blob.name) }
        if let finding = findings.first { throw finding.error }
    }

    /// The examples of Formats, one of each scheme and codec.
    @Sendable private static func vectors() throws -> [[UInt8]] {
        let folder = Fixtures.path("../../Formats/vectors/valid")
        return try Paths.entries(of: folder).filter { $0.hasSuffix(".sprint") }.sorted().map { try InMemoryFile.fixture(Paths.join(folder, $0)) }
    }
}

/// The checksums of a packed file (Formats/packed.md), made anew over whatever is there.
private struct Seals {
    var bytes: [UInt8]

    private func number(_ offset: Int, _ count: Int) -> Int {
        Int(truncatingIfNeeded: (0..<count).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64(bytes[offset + $1]) })
    }

    private mutating func set(_ value: UInt64, at offset: Int) { bytes.replaceSubrange(offset..<offset + 8, with: RawZip.little(value)) }

    /// Where the directory or the attachments' is, by the place of its record in the header.
    private func directory(_ record: Int) -> Range<Int>? {
        let (start, count) = (number(record, 8), number(record + 8, 4))
        return start >= 128 && start <= bytes.count && count <= bytes.count - start ? start..<start + count : nil
    }

    private static let records = [32, 56]
    private static let headerByteCount = 128

    /// Length, directories and header.
    var sealed: [UInt8] {
        guard bytes.count >= Self.headerByteCount else { return bytes }
        var copy = self
        copy.set(UInt64(bytes.count), at: 24)
        for record in Self.records { if let range = directory(record) { copy.set(XXH3.hash(Array(bytes[range])), at: record + 16) } }
        // A compressed directory's hash is of its text: that flag is the first.
        if let range = directory(32), bytes[12] & 1 == 0 {
            let digits = Array(SHA256Stream.digest(Array(bytes[range])).utf8)
            for index in 0..<32 { copy.bytes[80 + index] = UInt8(String(decoding: digits[2 * index..<2 * index + 2], as: UTF8.self), radix: 16) ?? 0 }
        }
        copy.set(XXH3.hash(Array(copy.bytes[..<120])), at: 120)
        return copy.bytes
    }

    /// The same with the frames' checksums, which the directory has; its text keeps its length.
    var withFrames: Seals {
        guard bytes.count >= Self.headerByteCount, let range = directory(32), let value = try? JSONValue.parse(Array(bytes[range])) else { return self }
        let text = restored(value).canonicalText
        guard text.count == range.count else { return self }
        return Seals(bytes: Array(bytes[..<range.lowerBound]) + text + bytes[range.upperBound...])
    }

    /// A value in which all members "frames" beside an "offset" have the checksums of what lies there.
    private func restored(_ value: JSONValue) -> JSONValue {
        switch value {
        case .array(let values): return .array(values.map(restored))
        case .object(var object):
            var offset = Int(object["offset"]?.integer ?? -1)
            for (key, member) in object.members {
                guard key == "frames", let frames = member.array else {
                    object[key] = restored(member)
                    continue
                }
                object[key] = .array(
                    frames.map { frame in
                        guard var parts = frame.array, parts.count == 3, let count = parts[0].integer.flatMap({ Int(exactly: $0) }),
                            offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset
                        else { return frame }
                        let digits = String(XXH3.hash(Array(bytes[offset..<offset + count])), radix: 16)
                        parts[2] = .string(String(repeating: "0", count: 16 - digits.count) + digits)
                        offset += count
                        return .array(parts)
                    })
            }
            return .object(object)
        default: return value
        }
    }
}
