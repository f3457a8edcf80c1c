import CPNG
import TestKit
import Testing

@testable import Files

struct PNGImageTests {
    private static func picture(_ width: Int, _ height: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return (0..<width * height * 3).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }

    /// What libpng reads from the bytes; a chunk with a wrong checksum is a failure, not a warning.
    private static func decode(_ png: [UInt8]) throws -> (width: Int, height: Int, rgb: [UInt8]) {
        var image = unsafe png_image()
        unsafe image.version = UInt32(PNG_IMAGE_VERSION)
        defer { unsafe png_image_free(&image) }
        return try unsafe png.withUnsafeBytes { bytes in
            try #require(unsafe png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0)
            unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
            let (width, height) = unsafe (Int(image.width), Int(image.height))
            var rgb = [UInt8](repeating: 0, count: width * height * 3)
            try #require(unsafe png_image_finish_read(&image, nil, &rgb, Int32(width * 3), nil) != 0)
            #expect(unsafe image.warning_or_error == 0)
            return (width, height, rgb)
        }
    }

    private static func chunks(_ png: [UInt8]) throws -> [(type: String, content: [UInt8])] {
        try #require(Array(png.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        var chunks: [(String, [UInt8])] = []
        var rest = png[8...]
        while !rest.isEmpty {
            try #require(rest.count >= 12)
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            try #require(rest.count >= 12 + count)
            chunks.append((String(decoding: rest.dropFirst(4).prefix(4), as: UTF8.self), Array(rest.dropFirst(8).prefix(count))))
            rest = rest.dropFirst(12 + count)
        }
        return chunks
    }

    @Test("libpng reads back the very pixels", arguments: [(1, 1), (3, 2), (17, 5), (64, 64), (128, 96)])
    func roundTrip(width: Int, height: Int) throws {
        let rgb = Self.picture(width, height)
        let decoded = try Self.decode(PNGImage.encode(width: width, height: height, rgb: rgb))
        #expect(decoded.width == width && decoded.height == height && decoded.rgb == rgb)
    }

    @Test("the file says 8 bits, RGB, sRGB, not interlaced")
    func header() throws {
        let chunks = try Self.chunks(PNGImage.encode(width: 5, height: 4, rgb: Self.picture(5, 4)))
        #expect(chunks.first?.type == "IHDR" && chunks.last?.type == "IEND")
        #expect(chunks.first?.content == [0, 0, 0, 5, 0, 0, 0, 4, 8, 2, 0, 0, 0])
        #expect(chunks.contains { $0.type == "sRGB" })
        #expect(!chunks.contains { $0.type == "tIME" })
    }

    @Test("equal arguments give equal bytes")
    func deterministic() throws {
        let notes = [PNGImage.Note("prompt", "a red circle")]
        let first = try PNGImage.encode(width: 40, height: 30, rgb: Self.picture(40, 30), notes: notes)
        #expect(try PNGImage.encode(width: 40, height: 30, rgb: Self.picture(40, 30), notes: notes) == first)
        #expect(try PNGImage.encode(width: 40, height: 30, rgb: Self.picture(40, 30, seed: 2), notes: notes) != first)
    }

    @Test("notes stand in the file in UTF-8, in their order, and leave the pixels alone")
    func notes() throws {
        let rgb = Self.picture(9, 9)
        let png = try PNGImage.encode(
            width: 9, height: 9, rgb: rgb, notes: [.init("prompt", "ein Kreis – 漢字\n😀"), .init("seed", "42"), .init("Empty", "")])
        #expect(try Self.decode(png).rgb == rgb)
        let texts = try Self.chunks(png).filter { $0.type == "iTXt" }.map(\.content)
        let expected = [("prompt", "ein Kreis – 漢字\n😀"), ("seed", "42"), ("Empty", "")]
        #expect(texts == expected.map { Array($0.0.utf8) + [0, 0, 0, 0, 0] + Array($0.1.utf8) })
    }

    @Test(
        "sizes that do not fit the pixels, or no PNG, are errors",
        arguments: [
            (0, 1), (1, 0), (-1, 1), (1, -1), (2, 2), (Int.max, 1), (1, .max), (.max, .max), (1 << 31, 1), (1 << 32, 1), (1 << 30, 1 << 33),
        ])
    func wrongSize(width: Int, height: Int) {
        #expect(throws: FileError.self) { try PNGImage.encode(width: width, height: height, rgb: [0, 0, 0]) }
    }

    @Test(
        "notes that the format cannot hold are errors",
        arguments: [
            ("", "x"), (" seed", "x"), ("seed ", "x"), ("s\u{E9}ed", "x"), (String(repeating: "k", count: 80), "x"), ("seed\n", "x"), ("seed", "a\0b"),
        ])
    func wrongNote(keyword: String, text: String) {
        let error = #expect(throws: FileError.self) { try PNGImage.encode(width: 1, height: 1, rgb: [0, 0, 0], notes: [.init(keyword, text)]) }
        #expect(error?.description.hasPrefix("PNG: the note \"\(keyword)\": expected a keyword of 1 to 79") == true)
    }
}
