import CPNG

extension PNGImage {
    /// The largest picture that is read: 67 million pixels.
    private static let mostPixels = 1 << 26
    /// The largest file.
    private static let mostBytes: UInt64 = 1 << 29

    /// What reading a picture takes, beside its file: four bytes a pixel, and three.
    private static let bytesPerPixel = 7

    /// What `read` is going to take in bytes; known from the head of the file.
    package static func readingBytes(_ file: InputFile) throws(FileError) -> Int {
        let head = try head(file)
        return Int(min(file.size, mostBytes)) * 2 + bytesPerPixel * head.width * head.height
    }

    /// The picture in a PNG file of 8 bits or fewer a channel: grey and palettes become red, green and blue, `[height, width, 3]`.
    ///
    /// What is stored is taken as it is, as Pillow takes it: no colour profile or gamma is applied.
    /// - Throws: `.notAPicture` for other files, damaged ones, and pictures that are transparent somewhere.
    package static func read(_ file: InputFile) throws(FileError) -> (width: Int, height: Int, rgb: [UInt8]) {
        let (width, height) = try head(file)
        let pixels = try decode(pixelChunks(try file.contents(limit: mostBytes), file.path), width, height, file.path)
        var rgb = [UInt8](repeating: 0, count: 3 * width * height)
        for pixel in 0..<width * height {
            guard pixels[4 * pixel + 3] == .max else {
                throw .notAPicture(
                    path: file.path, expected: "an opaque picture", found: "a transparent pixel at \(pixel % width), \(pixel / width); flatten it first")
            }
            for channel in 0..<3 { rgb[3 * pixel + channel] = pixels[4 * pixel + channel] }
        }
        return (width, height, rgb)
    }

    /// The size that the first chunk states, if it is one that is read.
    private static func head(_ file: InputFile) throws(FileError) -> (width: Int, height: Int) {
        let bytes = try file.bytes(at: 0, count: Int(min(file.size, UInt64(headByteCount))))
        guard bytes.starts(with: signature) else {
            throw .notAPicture(path: file.path, expected: "a PNG file", found: "\(kind(of: bytes)); save the picture as PNG")
        }
        guard bytes.count == headByteCount, Array(bytes[12..<16]) == Array("IHDR".utf8) else { throw damaged(file.path, "no size in its first chunk") }
        let (width, height, depth) = (word(bytes, 16), word(bytes, 20), bytes[24])
        guard width > 0, height > 0, width <= mostPixels, height <= mostPixels, width * height <= mostPixels else {
            throw .notAPicture(path: file.path, expected: "a picture of 1 to \(mostPixels) pixels", found: "\(width) x \(height); scale it down")
        }
        guard depth <= 8 else {
            throw .notAPicture(path: file.path, expected: "at most 8 bits a channel", found: "\(depth); save the picture with 8")
        }
        return (width, height)
    }

    /// The file with the chunks alone that pixels are made of: the others could change colours, or are nobody's business.
    private static func pixelChunks(_ bytes: [UInt8], _ path: String) throws(FileError) -> [UInt8] {
        var (kept, start) = (signature, signature.count)
        while start < bytes.count {
            guard bytes.count - start >= 12, case let end = start + 12 + word(bytes, start), end <= bytes.count else {
                throw damaged(path, "an end inside a chunk")
            }
            let type = Array(bytes[start + 4..<start + 8])
            // A capital is what programs have to understand.
            if type[0] & 0x20 == 0 || type == Array("tRNS".utf8) { kept += bytes[start..<end] }
            start = end
            if type == Array("IEND".utf8) { return kept }
        }
        throw damaged(path, "no end")
    }

    /// Red, green, blue and opacity. libpng's simplified interface: its errors come back as a value.
    private static func decode(_ png: [UInt8], _ width: Int, _ height: Int, _ path: String) throws(FileError) -> [UInt8] {
        var image = unsafe png_image()
        unsafe image.version = UInt32(PNG_IMAGE_VERSION)
        defer { unsafe png_image_free(&image) }
        var pixels: [UInt8] = []
        let isRead = unsafe png.withUnsafeBytes { bytes in
            guard unsafe png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0, unsafe Int(image.width) == width,
                unsafe Int(image.height) == height
            else { return false }
            unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA)
            pixels = [UInt8](repeating: 0, count: 4 * width * height)
            return unsafe png_image_finish_read(&image, nil, &pixels, Int32(4 * width), nil) != 0
        }
        guard isRead, unsafe image.warning_or_error == 0 else { throw damaged(path, unsafe message(&image)) }
        return pixels
    }

    private static func damaged(_ path: String, _ found: String) -> FileError {
        .notAPicture(path: path, expected: "a whole PNG file", found: "\(found.isEmpty ? "damage" : found); save the picture again")
    }

    private static func word(_ bytes: [UInt8], _ start: Int) -> Int { bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) } }

    private static func kind(of bytes: [UInt8]) -> String {
        let kinds: [([UInt8], String)] = [
            ([0xFF, 0xD8, 0xFF], "a JPEG file"), (Array("GIF8".utf8), "a GIF file"), (Array("RIFF".utf8), "a WebP file"), (Array("BM".utf8), "a BMP file"),
            (Array("II*".utf8), "a TIFF file"), (Array("MM".utf8), "a TIFF file"),
        ]
        if bytes.isEmpty { return "an empty file" }
        return kinds.first { bytes.starts(with: $0.0) }?.1 ?? "something else"
    }
}
