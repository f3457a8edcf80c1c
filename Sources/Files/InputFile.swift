import Glibc

/// A file opened once for reading, at any offset and from any thread.
///
/// Bytes come through `pread` into buffers of the caller: a mapping of a file that shrinks, or that lies on a failing disk, would
/// kill the process instead of giving an error.
package final class InputFile: Sendable {
    package let path: String
    /// Size in bytes when the file was opened.
    package let size: UInt64
    package let identity: FileIdentity
    private let descriptor: Int32
    private let modified: Timestamp

    /// Opens a regular file. Directories, pipes and devices are refused.
    package init(path: String) throws(FileError) {
        // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever, before its type can be looked at.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else {
            let code = errno
            if code == ENOENT, let target = Paths.linkTarget(path) { throw .danglingLink(path: path, target: target) }
            throw .system(operation: "open", path: path, code: code)
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(operation: "stat", path: path, code: code)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .notRegular(path: path, found: status.st_mode & S_IFMT == S_IFDIR ? "a directory" : "a pipe or device")
        }
        self.path = path
        self.descriptor = descriptor
        size = UInt64(status.st_size)
        identity = FileIdentity(status)
        modified = Timestamp(status)
    }

    deinit { close(descriptor) }

    /// Fills `buffer` with the bytes from `offset` on; a file that ends earlier is an error.
    @unsafe package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) {
        // Offsets come from files: one beyond what the system can count is one beyond the end.
        let (end, overflow) = offset.addingReportingOverflow(UInt64(buffer.count))
        guard !overflow, end <= UInt64(off_t.max) else { throw .truncated(path: path, expected: overflow ? .max : end, found: size) }
        var done = 0
        while done < buffer.count {
            let position = off_t(offset) + off_t(done)
            let got = unsafe pread(descriptor, buffer.baseAddress! + done, buffer.count - done, position)
            if got > 0 {
                done += got
            } else if got == 0 {
                throw .truncated(path: path, expected: end, found: offset + UInt64(done))
            } else if errno != EINTR {
                throw .system(operation: "read", path: path, code: errno)
            }
        }
    }

    /// The bytes `offset ..< offset + count`.
    /// - Precondition: the caller has compared `count` with the size of the file or with a limit of its own.
    package func bytes(at offset: UInt64, count: Int) throws(FileError) -> [UInt8] {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
        guard !overflow, end <= size else { throw .truncated(path: path, expected: overflow ? .max : end, found: size) }
        var failure: FileError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(FileError) {
                unsafe try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
                initialized = count
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The whole file, which must not be larger than `limit` bytes.
    package func contents(limit: UInt64) throws(FileError) -> [UInt8] {
        guard size <= limit else { throw .tooLarge(path: path, limit: limit, found: size) }
        return try bytes(at: 0, count: Int(size))
    }

    /// The content of a file, a pipe or a device, to its end, which must come within `limit` bytes: for what a user writes, or has written by a command.
    package static func text(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
        var status = stat()
        guard unsafe stat(path, &status) == 0, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else {
            return try InputFile(path: path).contents(limit: UInt64(limit))
        }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw .system(operation: "open", path: path, code: errno) }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system(operation: "read", path: path, code: errno) }
            guard count > 0 else { return text }
            text += piece[..<count]
            guard text.count <= limit else { throw .tooLarge(path: path, limit: UInt64(limit), found: UInt64(text.count)) }
        }
    }

    /// SHA-256 of the whole file.
    package func sha256() throws(FileError) -> String {
        var stream = SHA256Stream()
        var offset: UInt64 = 0
        while offset < size {
            let piece = try bytes(at: offset, count: Int(min(size - offset, 4 << 20)))
            stream.update(piece)
            offset += UInt64(piece.count)
        }
        return stream.digest()
    }

    /// Throws when size or modification time are no longer what they were at opening: called after the last read.
    package func checkUnchanged() throws(FileError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .system(operation: "stat", path: path, code: errno) }
        guard UInt64(status.st_size) == size, Timestamp(status) == modified else { throw .changedWhileReading(path: path) }
    }
}

/// Which file a path leads to, links followed: two names of one file have equal identities.
package struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    /// The identity of what is at `path`, or nil where nothing is.
    package init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        self.init(status)
    }
}

private struct Timestamp: Equatable, Sendable {
    let seconds: Int
    let nanoseconds: Int

    init(_ status: stat) {
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
