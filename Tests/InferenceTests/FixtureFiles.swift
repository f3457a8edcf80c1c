import Files
import StrictJSON
import TestKit

/// Small files below Tests/Fixtures, whole.
enum FixtureFiles {
    /// For tests in subfolders: `Fixtures.path` counts from a file that lies directly in the target's folder, as this one does.
    static func path(_ name: String) -> String { Fixtures.path(name) }

    static func bytes(_ name: String) throws -> [UInt8] {
        try InputFile(path: path(name)).contents(limit: 1 << 26)
    }

    static func json(_ name: String) throws -> JSONValue {
        try JSONValue.parse(bytes(name))
    }
}
