import Files
import Glibc
import TestKit

/// Formats/reader.py and the Python that runs it.
enum SecondReader {
    static let python = environment("SPRINTPACK_PYTHON") ?? "python3"

    /// Whether this machine has a Python with the two packages; the Makefile's environment has.
    static let isAvailable = (try? ChildProcess.run([python, "-c", "import zstandard, xxhash"]).status) == 0

    static func run(_ arguments: String...) throws -> ChildProcess.Result {
        try ChildProcess.run([python, formats("reader.py")] + arguments)
    }
}

func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

/// Cuts a file short in place.
func truncate(_ path: String, to byteCount: Int) throws {
    guard unsafe Glibc.truncate(path, byteCount) == 0 else { throw FileError.system(operation: "truncate", path: path, code: errno) }
}

/// Writes a file without the sync that `OutputFile` does, which thousands of small files do not need.
func write(_ bytes: [UInt8], to path: String) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644 as mode_t)
    guard descriptor >= 0 else { throw FileError.system(operation: "create", path: path, code: errno) }
    defer { close(descriptor) }
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw FileError.system(operation: "write", path: path, code: errno) }
}
