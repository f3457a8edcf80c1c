import Files
import TestKit
import Testing

/// The rooms are held apart: models touch no kernel and no pointer, and numbers are computed in few places.
@Suite struct RoomTests {
    private static let sources = Paths.join(Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath))), "Sources")

    /// The Swift files below a folder of Sources, with their lines of code.
    private static func code(_ folder: String) throws -> [(path: String, lines: [Substring])] {
        try Paths.entries(of: folder).sorted().flatMap { name in
            let path = Paths.join(folder, name)
            if Paths.isDirectory(path) { return try code(path) }
            guard name.hasSuffix(".swift") else { return [] }
            let text = String(decoding: try InputFile(path: path).contents(limit: 1 << 20), as: UTF8.self)
            return [(path, text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") })]
        }
    }

    private static func words(_ line: Substring) -> [Substring] { line.split { !$0.isLetter && !$0.isNumber && $0 != "_" } }

    @Test("Inference has no unsafe pointers, imports no C and names no executor")
    func models() throws {
        let files = try Self.code(Paths.join(Self.sources, "Inference"))
        #expect(files.count > 40)
        for (path, lines) in files {
            for line in lines {
                let words = Self.words(line)
                #expect(!words.contains("unsafe") && !words.contains { $0.hasPrefix("ck_") || $0.hasPrefix("Unsafe") }, "\(path): \(line)")
                #expect(!words.contains("CPU"), "\(path): \(line)")
                #expect(!["CKernels", "COpenBLAS", "CPNG"].contains(words.last { _ in words.contains("import") }), "\(path): \(line)")
            }
        }
    }

    @Test(
        "C is imported where its arithmetic belongs",
        arguments: [
            ("CCUDA", ["CUDADriver"]), ("CGPUKernels", ["CUDAInference"]), ("COpenBLAS", ["Operations"]),
            ("CKernels", ["Files", "Operations", "PackedFiles", "Tensors"]), ("CPNG", ["Files"]),
        ])
    func imports(_ module: String, _ rooms: [String]) throws {
        let found = try Paths.entries(of: Self.sources).filter { Paths.isDirectory(Paths.join(Self.sources, $0)) }.filter { room in
            try Self.code(Paths.join(Self.sources, room)).contains { $0.lines.contains { Self.words($0).suffix(2) == ["import", module[...]] } }
        }
        #expect(found.sorted() == rooms)
    }
}
