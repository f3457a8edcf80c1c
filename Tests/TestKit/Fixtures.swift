import Files

/// The files below Tests/Fixtures, found relative to this source file.
package enum Fixtures {
    package static func path(_ name: String) -> String {
        Paths.join(Paths.join(Paths.parent(of: Paths.parent(of: #filePath)), "Fixtures"), name)
    }
}

/// A folder of one test, removed with all it holds when the value goes.
package final class TemporaryFolder {
    package let path: String

    package init(in base: String = "/tmp") throws {
        path = Paths.join(base, "sprintpack-test-\(String(UInt64.random(in: 0 ... .max), radix: 36))")
        try Paths.makeDirectory(path)
    }

    package func file(_ name: String) -> String { Paths.join(path, name) }

    deinit { Paths.removeTree(path) }
}
