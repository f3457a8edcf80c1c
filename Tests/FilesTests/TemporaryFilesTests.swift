import Files
import TestKit
import Testing

struct TemporaryFilesTests {
    @Test("an interrupt removes what is registered, leaves the rest, and ends the process with its code") func removeAll() async throws {
        let folder = try TemporaryFolder()
        for name in ["export", "other"] {
            try Paths.makeDirectory(folder.file(name))
            try OutputFile.write([1], to: Paths.join(folder.file(name), "part"), replace: false)
        }
        await #expect(processExitsWith: .exitCode(130)) { [path = folder.path as String] in
            TemporaryFiles.add(Paths.join(path, "export"))
            TemporaryFiles.add(Paths.join(path, "other"))
            TemporaryFiles.remove(Paths.join(path, "other"))
            let file = try OutputFile(path: Paths.join(path, "out"), replace: false)
            try file.write([1])
            TemporaryFiles.removeAll(thenExit: 130)
        }
        #expect(try Paths.entries(of: folder.path) == ["other"])
        #expect(try Paths.entries(of: folder.file("other")) == ["part"])
    }
}
