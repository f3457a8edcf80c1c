import Files
import Glibc
import TestKit
import Testing

struct InputFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func file(_ bytes: [UInt8], _ name: String = "in") throws -> InputFile {
        try OutputFile.write(bytes, to: folder.file(name), kind: .anything, replace: true)
        return try InputFile(path: folder.file(name))
    }

    @Test("any range of the file can be read") func ranges() throws {
        let file = try file(Array(0..<100))
        #expect(file.size == 100)
        #expect(try file.contents(limit: 100) == Array(0..<100))
        #expect(try file.bytes(at: 10, count: 5) == [10, 11, 12, 13, 14])
        #expect(try file.bytes(at: 100, count: 0) == [])
    }

    @Test(arguments: [(100, 1), (99, 2), (101, 0), (1 << 62, 1), (.max, 1), (UInt64(Int64.max), 1)] as [(UInt64, Int)])
    func rangesBeyondTheEnd(offset: UInt64, count: Int) throws {
        let file = try file([UInt8](repeating: 7, count: 100))
        let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
        #expect(throws: FileError.truncated(path: file.path, expected: overflow ? .max : end, found: 100)) { try file.bytes(at: offset, count: count) }
        var buffer = [UInt8](repeating: 0, count: count)
        if count > 0 {
            #expect(throws: FileError.self) { unsafe try buffer.withUnsafeMutableBytes { unsafe try file.read(at: offset, into: $0) } }
        }
    }

    @Test("a limit is kept") func limit() throws {
        let file = try file([1, 2, 3])
        #expect(throws: FileError.tooLarge(path: file.path, limit: 2, found: 3)) { try file.contents(limit: 2) }
    }

    @Test("what is no regular file is refused, without waiting for a pipe's writer") func notRegular() throws {
        #expect(throws: FileError.notRegular(path: folder.path, found: "a directory")) { try InputFile(path: folder.path) }
        try makePipe(folder.file("pipe"))
        #expect(throws: FileError.notRegular(path: folder.file("pipe"), found: "a pipe or device")) { try InputFile(path: folder.file("pipe")) }
        #expect(throws: FileError.notRegular(path: "/dev/zero", found: "a pipe or device")) { try InputFile(path: "/dev/zero") }
        let missing = folder.file("missing")
        #expect(throws: FileError.system(operation: "open", path: missing, code: ENOENT)) { try InputFile(path: missing) }
    }

    @Test("a file that shrinks is an error, in reading and in the check at the end") func shrinks() throws {
        let file = try file([UInt8](repeating: 1, count: 100))
        try file.checkUnchanged()
        try resize(file.path, to: 50)
        #expect(throws: FileError.truncated(path: file.path, expected: 100, found: 50)) { try file.contents(limit: 100) }
        #expect(throws: FileError.changedWhileReading(path: file.path)) { try file.checkUnchanged() }
    }

    @Test("a file that is replaced under its name is still read as it was opened") func replaced() throws {
        let first = try file([1, 2, 3])
        let second = try file([4, 5])
        #expect(try first.contents(limit: 10) == [1, 2, 3])
        try first.checkUnchanged()
        #expect(first.identity != second.identity)
    }

    @Test("names of one file have one identity") func identity() throws {
        let file = try file([1])
        try makeLink(folder.file("soft"), to: file.path)
        try makeHardLink(folder.file("hard"), to: file.path)
        #expect(FileIdentity(path: folder.file("soft")) == file.identity)
        #expect(FileIdentity(path: folder.file("hard")) == file.identity)
        #expect(FileIdentity(path: folder.path) != file.identity)
        #expect(FileIdentity(path: folder.file("missing")) == nil)
    }

    @Test("messages say path, reason and what to do") func messages() {
        #expect("\(FileError.system(operation: "open", path: "x", code: ENOENT))" == "x: open: No such file or directory")
        #expect("\(FileError.system(operation: "write", path: "x", code: ENOSPC))".hasSuffix("; free some space or write to another disk"))
        #expect("\(FileError.exists(path: "x"))".contains("--force"))
    }
}
