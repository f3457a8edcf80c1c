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

/// Lets this process have so many bytes of address space more than it has now.
func limitAddressSpace(toMore byteCount: Int) throws {
    // The first number is the process's size in pages.
    var pages = 0
    if let file = unsafe fopen("/proc/self/statm", "r") {
        while case let digit = unsafe Int(fgetc(file)) - 48, (0...9).contains(digit) { pages = 10 * pages + digit }
        unsafe fclose(file)
    }
    let bytes = rlim_t(pages * Int(getpagesize()) + byteCount)
    var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
    guard pages > 0, unsafe setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else {
        throw FileError.system(operation: "limit", path: "address space", code: errno)
    }
}

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
