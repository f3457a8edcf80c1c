import Files
import Glibc
import TestKit
import Testing

struct OutputFileTests {
    let folder: TemporaryFolder
    let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.file("out")
    }

    private func contents(_ name: String = "out") throws -> [UInt8] { try InputFile(path: folder.file(name)).contents(limit: 1 << 20) }
    /// What the outputs of these tests are known by: they begin with a 1 or a 2.
    private static let kind = OutputKind("a test's file") { $0.has([1]) || $0.has([2]) }
    private var kind: OutputKind { Self.kind }

    private func entries() throws -> [String] { try Paths.entries(of: folder.path) }

    @Test("bytes and late headers arrive under the name, with nothing beside it") func commits() throws {
        let file = try OutputFile(path: path, replace: false)
        try file.write([0, 0, 0])
        try file.write([0, 0, 0, 0, 0])
        #expect(file.position == 8)
        try file.write([9])
        unsafe try [1, 2].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in unsafe try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<1]), at: 1) }
        #expect(file.position == 9)
        #expect(try entries().isEmpty)
        try file.commit()
        #expect(try contents() == [0, 1, 0, 0, 0, 0, 0, 0, 9])
        #expect(try entries() == ["out"])
    }

    @Test("what is not committed leaves nothing") func abandoned() throws {
        do {
            let file = try OutputFile(path: path, replace: false)
            try file.write([1])
        }
        #expect(try entries().isEmpty)
    }

    @Test("what is not committed leaves the old file as it was") func abandonedReplacement() throws {
        try OutputFile.write([1], to: path, replace: false)
        do {
            let file = try OutputFile(path: path, kind: Self.kind, replace: true)
            try file.write([2])
        }
        #expect(try contents() == [1])
        #expect(try entries() == ["out"])
    }

    @Test("an existing file is replaced only where that is asked for") func exists() throws {
        try OutputFile.write([1], to: path, replace: false)
        #expect(throws: FileError.exists(path: path)) { try OutputFile(path: path, kind: kind, replace: false) }
        #expect(try contents() == [1])
        try OutputFile.write([2], to: path, kind: Self.kind, replace: true)
        #expect(try contents() == [2])
        #expect(try entries() == ["out"])
    }

    @Test("a file that appears meanwhile is not replaced") func appears() throws {
        let file = try OutputFile(path: path, kind: kind, replace: false)
        try file.write([1])
        try OutputFile.write([2], to: path, replace: false)
        #expect(throws: FileError.exists(path: path)) { try file.commit() }
        #expect(try contents() == [2])
        #expect(try entries() == ["out"])
    }

    @Test("an input is never replaced, by no name it has", arguments: [false, true]) func isInput(replace: Bool) throws {
        try OutputFile.write([1], to: folder.file("in"), replace: false)
        try makeLink(folder.file("soft"), to: folder.file("in"))
        try makeHardLink(folder.file("hard"), to: folder.file("in"))
        let identity = try InputFile(path: folder.file("in")).identity
        for name in ["in", "soft", "hard"] {
            #expect(throws: FileError.isInput(path: folder.file(name))) {
                try OutputFile(path: folder.file(name), kind: Self.kind, replace: replace, inputs: [identity])
            }
        }
        #expect(try contents("in") == [1])
    }

    @Test("a link is never replaced, wherever it leads", arguments: ["target", "nowhere"]) func links(target: String) throws {
        try OutputFile.write([1], to: folder.file("target"), replace: false)
        try makeLink(path, to: folder.file(target))
        for replace in [false, true] {
            #expect(throws: FileError.isLink(path: path, target: folder.file(target))) { try OutputFile(path: path, kind: kind, replace: replace) }
        }
        #expect(try contents("target") == [1])
        #expect(try entries() == ["out", "target"])
    }

    @Test("what this tool did not write is never replaced, and nobody is told to force it") func foreign() throws {
        try OutputFile.write([9], to: path, replace: false)
        for replace in [false, true] {
            let failure = FileError.foreign(path: path, expected: "a test's file")
            #expect(throws: failure) { try OutputFile(path: path, kind: kind, replace: replace) }
            #expect(throws: FileError.foreign(path: path, expected: "a free name")) { try OutputFile(path: path, replace: replace) }
            #expect(!failure.description.contains("--force"))
        }
        #expect(try contents() == [9])
    }

    @Test("an empty file has nothing to lose") func empty() throws {
        try OutputFile.write([], to: path, replace: false)
        #expect(throws: FileError.exists(path: path)) { try OutputFile(path: path, replace: false) }
        try OutputFile.write([2], to: path, kind: .anything, replace: true)
        #expect(try contents() == [2])
    }

    @Test("what is replaced is looked at again in the moment of the exchange") func changesMeanwhile() throws {
        for before in [[], [1]] as [[UInt8]] {
            try OutputFile.write(before, to: path, replace: false)
            let file = try OutputFile(path: path, kind: kind, replace: true)
            try file.write([2])
            // Somebody else puts his own there while this one is computed.
            Paths.removeFile(path)
            try OutputFile.write([9], to: path, replace: false)
            #expect(throws: FileError.foreign(path: path, expected: "a test's file")) { try file.commit() }
            #expect(try contents() == [9])
            Paths.removeFile(path)
        }
        let file = try OutputFile(path: path, kind: kind, replace: true)
        try file.write([2])
        try OutputFile.write([9], to: path, replace: false)
        #expect(throws: FileError.foreign(path: path, expected: "a test's file")) { try file.commit() }
        #expect(try contents() == [9])
    }

    @Test("a file that goes away meanwhile need not be replaced") func goesAway() throws {
        try OutputFile.write([1], to: path, replace: false)
        let file = try OutputFile(path: path, kind: kind, replace: true)
        try file.write([2])
        Paths.removeFile(path)
        try file.commit()
        #expect(try contents() == [2])
        #expect(try entries() == ["out"])
    }

    @Test("names that cannot work fail before the work, not after it") func impossibleNames() throws {
        try OutputFile.write([1], to: folder.file("file"), replace: false)
        let long = folder.file(String(repeating: "n", count: 300))
        #expect(throws: FileError.system(operation: "create", path: long, code: ENAMETOOLONG)) { try OutputFile(path: long, kind: Self.kind, replace: true) }
        #expect(throws: FileError.system(operation: "create", path: folder.file("no/out"), code: ENOENT)) {
            try OutputFile(path: folder.file("no/out"), kind: Self.kind, replace: true)
        }
        #expect(throws: FileError.system(operation: "create", path: folder.file("file/out"), code: ENOTDIR)) {
            try OutputFile(path: folder.file("file/out"), kind: Self.kind, replace: true)
        }
        #expect(throws: FileError.notRegular(path: folder.path, found: "a directory")) { try OutputFile(path: folder.path, kind: Self.kind, replace: true) }
        #expect(throws: FileError.self) { try OutputFile(path: folder.file("new/"), kind: Self.kind, replace: true) }
        #expect(throws: FileError.self) { try OutputFile(path: "", kind: Self.kind, replace: true) }
        try makePipe(folder.file("pipe"))
        #expect(throws: FileError.notRegular(path: folder.file("pipe"), found: "a pipe or device")) {
            try OutputFile(path: folder.file("pipe"), kind: Self.kind, replace: true)
        }
        #expect(try entries() == ["file", "pipe"])
    }

    @Test("the longest name that a folder can hold works") func longestName() throws {
        let name = String(repeating: "n", count: 255)
        for replace in [false, true] { try OutputFile.write([1], to: folder.file(name), kind: Self.kind, replace: replace) }
        #expect(try entries() == [name])
    }

    @Test("a device that is full refuses the bytes with its reason") func full() async {
        // A limit on file sizes stands in for the full disk: both fail in the middle of a write. It holds for a whole process, hence one of its own.
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 10_000, rlim_max: 10_000)
            guard unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0 else { fatalError("no limit") }
            let path = folder.file("out")
            do {
                let file = try OutputFile(path: path, replace: false)
                try file.write([UInt8](repeating: 1, count: 9_000))
                #expect(throws: FileError.system(operation: "write", path: path, code: EFBIG)) { try file.write([UInt8](repeating: 1, count: 9_000)) }
            }
            #expect(try Paths.entries(of: folder.path).isEmpty)
        }
    }

    @Test("a folder that may not be written to refuses the file at once") func readOnlyFolder() async {
        // Root may write anywhere; the process gives that up.
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            unsafe chmod(folder.path, 0o555)
            if getuid() == 0, setuid(65_534) != 0 { fatalError("still root") }
            let path = folder.file("out")
            #expect(throws: FileError.system(operation: "create", path: path, code: EACCES)) { try OutputFile(path: path, replace: false) }
        }
    }
}
