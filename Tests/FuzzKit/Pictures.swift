import Files
import TestKit

/// Pictures, as they lie and with the checksums of their chunks made right.
extension ParserUnderFuzz {
    static let pictures = [
        ParserUnderFuzz(name: "png-file", seeds: genuine, read: readPNG),
        ParserUnderFuzz(name: "png", seeds: genuine) { try readPNG(sealed($0)) },
    ]

    @Sendable private static func readPNG(_ bytes: [UInt8]) throws {
        let onDisk = try InMemoryFile(bytes)
        let file = try InputFile(path: onDisk.path)
        // Sizes are the file's to claim: what a large one takes is told before, and refused there where it is too much.
        guard try PNGImage.readingBytes(file) < 1 << 24 else { return }
        let picture = try PNGImage.read(file)
        try Unsound.unless(picture.rgb.count == 3 * picture.width * picture.height, "\(picture.rgb.count) bytes of \(picture.width) x \(picture.height)")
    }

    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var (result, start) = (bytes, 8)
        while bytes.count - start >= 12 {
            let count = (0..<4).reduce(0) { $0 << 8 | Int(bytes[start + $1]) }
            guard count <= bytes.count - start - 12 else { break }
            let end = start + 8 + count
            result.replaceSubrange(end..<end + 4, with: RawZip.little(CRC32.hash(Array(bytes[start + 4..<end])).byteSwapped))
            start = end + 4
        }
        return result
    }

    /// A colour of each kind that is read: three pixels by two.
    @Sendable private static func genuine() throws -> [[UInt8]] {
        let written = try PNGImage.encode(width: 3, height: 2, rgb: (0..<18).map { UInt8(14 * $0) })
        return [written, try InMemoryFile.fixture(Fixtures.path("tiny-sprint-controlnet/star-scribble.png"))]
    }
}
