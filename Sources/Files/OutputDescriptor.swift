import Glibc

/// The descriptor of a file that is being made, for writes at any offset and from any thread.
package final class OutputDescriptor: Sendable {
    let path: String
    let number: Int32

    /// What sizes, offsets and addresses are multiples of where writes pass by the cache: no common file system asks for more.
    package static let uncachedAlignment = 4096

    /// Takes an open descriptor. `path` is the name that errors tell.
    init(_ number: Int32, path: String) {
        self.number = number
        self.path = path
    }

    deinit { close(number) }

    /// Writes bytes at `offset`.
    @unsafe package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        var done = 0
        while done < buffer.count {
            let put = unsafe pwrite(number, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done))
            if put > 0 {
                done += put
            } else if put < 0 && errno == EINVAL && passesByCache {
                // A file system that wants another alignment, or that found out late that it cannot.
                passByCache(false)
            } else if put == 0 || errno != EINTR {
                throw .system(operation: "write", path: path, code: put == 0 ? EIO : errno)
            }
        }
    }

    /// Writes all that the file holds to another one, and syncs that.
    func copy(to target: OutputDescriptor) throws(FileError) {
        passByCache(false)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: Self.uncachedAlignment)
        defer { unsafe buffer.deallocate() }
        var offset: UInt64 = 0
        while true {
            let count = unsafe pread(number, buffer.baseAddress!, buffer.count, off_t(offset))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .system(operation: "read", path: path, code: errno) }
            guard count > 0 else { break }
            unsafe try target.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            offset += UInt64(count)
        }
        try target.sync()
    }

    /// Has the disk hold what was written. Some volumes have nothing to sync with, and need it the less.
    func sync() throws(FileError) {
        guard fsync(number) == 0 || [EINVAL, ENOSYS, EOPNOTSUPP].contains(errno) else { throw .system(operation: "sync", path: path, code: errno) }
    }

    /// Has writes go to the disk without a copy in the system's cache of pages, or no longer. Where the file system cannot do that they go the
    /// usual way: what the file holds is the same.
    package func passByCache(_ isOn: Bool) {
        let flags = fcntl(number, F_GETFL)
        guard flags >= 0 else { return }
        _ = fcntl(number, F_SETFL, isOn ? flags | Self.direct : flags & ~Self.direct)
    }

    private var passesByCache: Bool { fcntl(number, F_GETFL) & Self.direct != 0 }

    /// `O_DIRECT` of fcntl.h, which Swift's module of it leaves out; not the same bit on all processors.
    #if arch(arm64)
        private static let direct: Int32 = 0o200000
    #else
        private static let direct: Int32 = 0o40000
    #endif
}
