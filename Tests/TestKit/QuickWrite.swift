import Files
import Glibc

extension TemporaryFolder {
    /// Writes or overwrites a file without syncing it, which a test that writes thousands of them would wait for.
    @discardableResult
    package func put(_ bytes: [UInt8], _ name: String) throws -> String {
        let path = file(name)
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666 as mode_t)
        guard descriptor >= 0 else { throw FileError.system(operation: "open", path: path, code: errno) }
        defer { close(descriptor) }
        guard unsafe write(descriptor, bytes, bytes.count) == bytes.count else { throw FileError.system(operation: "write", path: path, code: errno) }
        return path
    }
}
