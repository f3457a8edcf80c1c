import CPNG

/// Writes and reads pictures as PNG files: 8 bits per channel, red, green, blue.
package enum PNGImage {
    /// A note inside the file, where `exiftool` and picture viewers show it: ("prompt", "a red circle").
    package struct Note: Sendable, Equatable {
        /// 1 to 79 printable ASCII characters, no space at the ends.
        let keyword: String
        let text: String

        package init(_ keyword: String, _ text: String) {
            self.keyword = keyword
            self.text = text
        }
    }

    /// The note that says what drew the picture; it comes first, so that the tool knows its pictures again.
    package static func drawn(by tool: String) -> Note { Note("Software", tool) }

    /// The signature and IHDR, the chunk that comes first, have 8 + 25 bytes; notes may stand anywhere after them.
    static let headByteCount = 33
    static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// Far below the 2^31 bytes that a chunk can have, and far above any prompt.
    private static let maximumTextLength = 1 << 24

    /// The bytes of a PNG file. The same arguments give the same bytes with the same versions of libpng and zlib.
    /// - Parameters:
    ///   - rgb: `[height, width, 3]`.
    ///   - notes: stored as `iTXt` chunks, in this order.
    package static func encode(width: Int, height: Int, rgb: [UInt8], notes: [Note] = []) throws(FileError) -> [UInt8] {
        let (row, overflow) = width.multipliedReportingOverflow(by: 3)
        guard width > 0, height > 0, !overflow, let pngWidth = UInt32(exactly: width), let pngHeight = UInt32(exactly: height),
            let stride = Int32(exactly: row)
        else { throw .picture("expected a width and height that libpng can hold, found \(width) x \(height)") }
        let (byteCount, tooMany) = row.multipliedReportingOverflow(by: height)
        guard !tooMany, rgb.count == byteCount else { throw .picture("expected \(tooMany ? .max : byteCount) bytes of pixels, found \(rgb.count)") }
        for note in notes where !isStorable(note) {
            throw .picture(
                "the note \"\(note.keyword)\": expected a keyword of 1 to 79 printable ASCII characters and at most 16 MB of text without null characters")
        }

        let picture = try write(pngWidth, pngHeight, stride, rgb)
        return picture.prefix(headByteCount) + notes.flatMap(chunk) + picture.dropFirst(headByteCount)
    }

    /// What a picture takes on its way into a file: in bytes, its rows as PNG filters them, and what is compressed with its copies.
    package static func workingBytes(pixels: Int) -> Int { 10 * pixels }

    /// libpng's simplified interface: its errors come back as a value, no `longjmp` leaves it.
    private static func write(_ width: UInt32, _ height: UInt32, _ stride: Int32, _ rgb: [UInt8]) throws(FileError) -> [UInt8] {
        var image = unsafe png_image()
        unsafe image.version = UInt32(PNG_IMAGE_VERSION)
        unsafe image.width = width
        unsafe image.height = height
        unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
        defer { unsafe png_image_free(&image) }

        // One pass, since asking for the size compresses too: deflate's bound for filtered rows, and room for the chunks around them.
        let filtered = rgb.count + Int(height)
        var byteCount = filtered + filtered / 8 + filtered / 64 + 4096
        var bytes = [UInt8](repeating: 0, count: byteCount)
        guard unsafe png_image_write_to_memory(&image, &bytes, &byteCount, 0, rgb, stride, nil) != 0 else {
            throw .picture("libpng: \(unsafe message(&image))")
        }
        return Array(bytes.prefix(byteCount))
    }

    static func message(_ image: inout png_image) -> String {
        unsafe withUnsafeBytes(of: &image.message) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    private static func isStorable(_ note: Note) -> Bool {
        let keyword = note.keyword.utf8
        return (1...79).contains(keyword.count) && keyword.allSatisfy { (0x20...0x7E).contains($0) } && keyword.first != 0x20 && keyword.last != 0x20
            && note.text.utf8.count <= maximumTextLength && !note.text.utf8.contains(0)
    }

    /// An uncompressed `iTXt` chunk: keyword, four empty fields (compression flag and method, language, translation), text in UTF-8.
    private static func chunk(_ note: Note) -> [UInt8] {
        let content = content(note)
        return bigEndian(UInt32(content.count - 4)) + content + bigEndian(UInt32(unsafe crc32(0, content, UInt32(content.count))))
    }

    fileprivate static func content(_ note: Note) -> [UInt8] { Array("iTXt\(note.keyword)".utf8) + [0, 0, 0, 0, 0] + Array(note.text.utf8) }

    private static func bigEndian(_ word: UInt32) -> [UInt8] {
        [UInt8(word >> 24), UInt8(word >> 16 & 0xFF), UInt8(word >> 8 & 0xFF), UInt8(word & 0xFF)]
    }
}

extension OutputKind {
    /// A picture whose first note names this tool; programs that change a picture put their own chunks first, or leave notes out.
    package static let picture = OutputKind("a picture that sprintpack drew") { file in
        file.has(PNGImage.signature) && file.has(PNGImage.content(.init("Software", "sprintpack ")), at: UInt64(PNGImage.headByteCount + 4))
    }
}
