import Files
import Glibc

/// A file that lies in memory, with a path: parsers open paths.
struct InMemoryFile: ~Copyable {
    private let descriptor: Int32
    var path: String { "/proc/self/fd/\(descriptor)" }

    init(_ bytes: [UInt8]) throws {
        let name = "/sprintpack-fuzz-\(UInt64.random(in: 0 ... .max))"
        descriptor = unsafe shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0 else { throw Unsound(description: "shm_open: error \(errno)") }
        // The descriptor alone keeps it.
        unsafe shm_unlink(name)
        let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        guard written == bytes.count else { throw Unsound(description: "a file in memory took \(written) of \(bytes.count) bytes") }
    }

    deinit { close(descriptor) }

    /// The content of a file of the fixtures.
    static func fixture(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 26) }
}
