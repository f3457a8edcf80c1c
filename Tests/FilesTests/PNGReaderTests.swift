import CPNG
import TestKit
import Testing

@testable import Files

struct PNGReaderTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func read(_ bytes: [UInt8]) throws -> (width: Int, height: Int, rgb: [UInt8]) {
        try PNGImage.read(try InputFile(path: try folder.put(bytes, "picture.png")))
    }

    private func expect(_ bytes: [UInt8], _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        do {
            _ = try read(bytes)
            Issue.record("it was read", sourceLocation: sourceLocation)
        } catch {
            for word in words + ["picture.png: expected"] { #expect("\(error)".contains(word), "\(error)", sourceLocation: sourceLocation) }
        }
    }

    private static func chunk(_ type: String, _ content: [UInt8], checksum: UInt32? = nil) -> [UInt8] {
        let body = Array(type.utf8) + content
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xFF) } }
        return word(UInt32(content.count)) + body + word(checksum ?? UInt32(unsafe crc32(0, body, UInt32(body.count))))
    }

    /// A PNG of rows that are filtered by nothing.
    /// - Parameter more: chunks before the pixels.
    private static func png(_ width: Int, _ height: Int, depth: UInt8 = 8, colour: UInt8, rows: [[UInt8]], _ more: [UInt8] = []) -> [UInt8] {
        func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xFF) } }
        let raw: [UInt8] = rows.flatMap { [UInt8(0)] + $0 }
        var (size, packed) = (UInt(raw.count + 100), [UInt8](repeating: 0, count: raw.count + 100))
        _ = unsafe compress(&packed, &size, raw, UInt(raw.count))
        return PNGImage.signature + chunk("IHDR", word(width) + word(height) + [depth, colour, 0, 0, 0]) + more
            + chunk("IDAT", Array(packed.prefix(Int(size)))) + chunk("IEND", [])
    }

    private static let grey = png(2, 2, colour: 0, rows: [[0, 255], [7, 128]])

    @Test func whatIsWrittenIsRead() throws {
        var random = SplitMix64(seed: 3)
        let rgb = (0..<3 * 31 * 17).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        let picture = try read(try PNGImage.encode(width: 31, height: 17, rgb: rgb, notes: [PNGImage.drawn(by: "sprintpack 1")]))
        #expect(picture == (31, 17, rgb))
    }

    @Test("grey, palettes and one bit become colours") func kinds() throws {
        #expect(try read(Self.grey).rgb == [0, 0, 0, 255, 255, 255, 7, 7, 7, 128, 128, 128])
        #expect(try read(Self.png(3, 1, depth: 1, colour: 0, rows: [[0b1010_0000]])).rgb == [255, 255, 255, 0, 0, 0, 255, 255, 255])
        let palette = Self.chunk("PLTE", [1, 2, 3, 40, 50, 60])
        #expect(try read(Self.png(2, 1, colour: 3, rows: [[1, 0]], palette)).rgb == [40, 50, 60, 1, 2, 3])
        #expect(try read(Self.png(1, 1, colour: 6, rows: [[9, 8, 7, 255]])).rgb == [9, 8, 7])
    }

    @Test("no gamma or colour profile changes what is stored, damaged or not") func ancillary() throws {
        let gamma = Self.chunk("gAMA", [0, 1, 0x86, 0xA0]) + Self.chunk("iCCP", [UInt8](repeating: 0x41, count: 50)) + Self.chunk("zzZz", [1], checksum: 0)
        #expect(try read(Self.png(2, 2, colour: 0, rows: [[0, 255], [7, 128]], gamma)).rgb == read(Self.grey).rgb)
    }

    @Test("transparency is refused, not guessed") func transparency() {
        expect(Self.png(2, 1, colour: 6, rows: [[9, 8, 7, 255, 1, 2, 3, 254]]), "an opaque picture", "at 1, 0", "flatten it")
        expect(Self.png(2, 1, colour: 0, rows: [[9, 8]], Self.chunk("tRNS", [0, 9])), "an opaque picture")
    }

    @Test("other files are named") func others() {
        expect([], "an empty file")
        expect([0xFF, 0xD8, 0xFF, 0xE0] + [UInt8](repeating: 0, count: 40), "a JPEG file", "save the picture as PNG")
        expect(Array("GIF89a".utf8), "a GIF file")
        expect(Array("hello".utf8), "something else")
    }

    @Test("pictures that want to do harm") func harm() {
        func head(_ width: UInt32, _ height: UInt32, _ depth: UInt8 = 8) -> [UInt8] {
            func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xFF) } }
            return PNGImage.signature + Self.chunk("IHDR", word(width) + word(height) + [depth, 2, 0, 0, 0]) + Self.chunk("IEND", [])
        }
        expect(head(100_000, 100_000), "100000 x 100000", "scale it down")
        expect(head(.max, .max), "4294967295", "scale it down")
        expect(head(0, 4), "0 x 4")
        expect(head(4, 4, 16), "at most 8 bits", "16")
        expect(head(4, 4), "a whole PNG file")
        expect(Self.png(1, 1, colour: 2, rows: [[1, 2, 3]], Self.chunk("ABCD", [1])), "a whole PNG file")
        expect(Self.png(2, 1, colour: 3, rows: [[200, 0]]), "a whole PNG file")
        var wrong = Self.grey
        wrong[wrong.count - 20] ^= 0x10
        expect(wrong, "a whole PNG file")
        for count in 0..<Self.grey.count { expect(Array(Self.grey.prefix(count))) }
    }

    @Test("damaged bytes are an error or a picture of the size stated, never a crash") func fuzz() throws {
        var random = SplitMix64(seed: 5)
        for _ in 0..<400 {
            guard let picture = try? read(Fuzzing.damage(Self.grey, using: &random)) else { continue }
            #expect(picture.rgb.count == 3 * picture.width * picture.height)
        }
    }
}
