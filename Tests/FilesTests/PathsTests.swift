import Files
import TestKit
import Testing

struct PathsTests {
    @Test(arguments: [("a", "b", "a/b"), ("a/", "b", "a/b"), ("/", "b", "/b"), ("", "b", "b"), ("a//", "b", "a//b")])
    func joins(folder: String, name: String, expected: String) { #expect(Paths.join(folder, name) == expected) }

    @Test(arguments: [("a", ".", "a"), ("a/b", "a", "b"), ("/a", "/", "a"), ("/", "/", ""), ("a/", "a", ""), ("/a/b.c", "/a", "b.c"), ("../a", "..", "a")])
    func takesApart(path: String, parent: String, name: String) {
        #expect(Paths.parent(of: path) == parent)
        #expect(Paths.name(of: path) == name)
    }

    @Test(arguments: [
        ("a", true), ("a.b", true), ("..a", true), ("a..", true), ("a b", true), ("", false), (".", false), ("..", false), ("a/b", false), ("/a", false),
        ("../a", false),
        ("a\0", false), ("/", false),
    ])
    func plainNames(name: String, isPlain: Bool) { #expect(Paths.isPlainName(name) == isPlain) }

    @Test("folders are made, listed in the order of bytes, and removed without following links")
    func folders() throws {
        let folder = try TemporaryFolder()
        let (kept, removed) = (folder.file("kept"), folder.file("removed"))
        try Paths.makeDirectory(kept)
        try Paths.makeDirectory(kept)
        try Paths.makeDirectory(removed)
        try OutputFile.write([1], to: Paths.join(kept, "file"), replace: false)
        for name in ["b", "B", "\u{E9}", "a"] { try OutputFile.write([], to: Paths.join(removed, name), replace: false) }
        #expect(try Paths.entries(of: removed) == ["B", "a", "b", "\u{E9}"])
        try makeLink(Paths.join(removed, "link"), to: kept)
        #expect(Paths.isDirectory(Paths.join(removed, "link")))
        Paths.removeTree(removed)
        #expect(!Paths.exists(removed))
        #expect(try Paths.entries(of: kept) == ["file"])
        #expect(throws: FileError.self) { try Paths.makeDirectory(Paths.join(kept, "file")) }
        #expect(throws: FileError.self) { try Paths.entries(of: removed) }
        #expect(throws: FileError.self) { try Paths.entries(of: Paths.join(kept, "file")) }
    }
}
