import Files
import Glibc
import TestKit

/// Another program, run to its end: the independent reader.
struct Program {
    let status: Int32
    let output: [UInt8]

    /// Runs `arguments[0]`, found by PATH, with its standard output and error in one stream.
    static func run(_ arguments: [String]) throws -> Program {
        let folder = try TemporaryFolder()
        let log = folder.file("output")
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT, 0o600)
        unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var process = pid_t()
        var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        guard unsafe posix_spawnp(&process, arguments[0], &actions, nil, &words, environ) == 0 else { return Program(status: 127, output: []) }
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return Program(status: status & 0x7F == 0 ? status >> 8 & 0xFF : -1, output: try contents(log))
    }
}

/// Formats/reader.py and the Python that runs it.
enum SecondReader {
    static let python = environment("SPRINTPACK_PYTHON") ?? "python3"

    /// Whether this machine has a Python with the two packages; the Makefile's environment has.
    static let isAvailable = (try? Program.run([python, "-c", "import zstandard, xxhash"]).status) == 0

    static func run(_ arguments: String...) throws -> Program {
        try Program.run([python, formats("reader.py")] + arguments)
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
