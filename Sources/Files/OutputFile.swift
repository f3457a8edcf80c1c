import Glibc

/// A file that appears under its name complete, or not at all.
///
/// Bytes go to a nameless file in the target's folder (`O_TMPFILE`), so that a kill at any moment leaves nothing behind. `commit`
/// syncs it and gives it its name in one step. Where the file system has no nameless files, a hidden temporary takes the place,
/// registered in `TemporaryFiles` so that an interrupt removes it. Replacing a link replaces the link, not what it leads to.
package final class OutputFile {
    package let path: String
    /// Bytes written so far, which is where the next `write` goes.
    package private(set) var position: UInt64 = 0
    package let descriptor: OutputDescriptor
    private let replace: Bool
    private let temporary: String
    private let isNamed: Bool
    private var isCommitted = false

    /// Checks that `path` can be written and opens the temporary.
    /// - Parameters:
    ///   - replace: whether an existing regular file at `path` may be replaced.
    ///   - inputs: files the output must not be, whatever `replace` says.
    package init(path: String, replace: Bool, inputs: [FileIdentity] = []) throws(FileError) {
        var status = stat()
        if unsafe stat(path, &status) == 0 {
            guard !inputs.contains(FileIdentity(status)) else { throw .isInput(path: path) }
            guard status.st_mode & S_IFMT != S_IFDIR else { throw .notRegular(path: path, found: "a directory") }
            guard replace else { throw .exists(path: path) }
            guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path, found: "a pipe or device") }
        } else {
            // A name that is too long or leads through a file would fail at the end of the work otherwise.
            let code = errno
            guard code == ENOENT else { throw .system(operation: "create", path: path, code: code) }
            let isDanglingLink = unsafe lstat(path, &status) == 0
            guard replace || !isDanglingLink else { throw .exists(path: path) }
        }
        guard !Paths.name(of: path).isEmpty else { throw .notRegular(path: path, found: "the name of a folder") }
        let folder = Paths.parent(of: path)
        // Not made of the output's name, which may be as long as a name can be.
        let hidden = Paths.join(folder, ".sprintpack-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp")
        if let nameless = try Self.openNameless(in: folder, path: path) {
            descriptor = OutputDescriptor(nameless, path: path)
            isNamed = false
        } else {
            TemporaryFiles.add(hidden)
            let named = unsafe open(hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
            guard named >= 0 else {
                let code = errno
                TemporaryFiles.remove(hidden)
                throw .system(operation: "create", path: path, code: code)
            }
            descriptor = OutputDescriptor(named, path: path)
            isNamed = true
        }
        self.path = path
        self.replace = replace
        temporary = hidden
    }

    /// Where the bytes written so far can be read before the file has its name.
    package var readablePath: String { isNamed ? temporary : Self.procPath(descriptor.number) }

    /// Opens a nameless file in `folder`; nil where the file system has none, or where it could not be given a name later.
    private static func openNameless(in folder: String, path: String) throws(FileError) -> Int32? {
        let descriptor = unsafe open(folder, O_DIRECTORY | temporaryFlag | O_RDWR | O_CLOEXEC, 0o666 as mode_t)
        guard descriptor >= 0 else {
            let code = errno
            // What kernels and file systems without nameless files answer; ENOENT comes from old kernels too.
            let isUnsupported = [EOPNOTSUPP, EISDIR, EINVAL].contains(code) || code == ENOENT && Paths.isDirectory(folder)
            guard isUnsupported else { throw .system(operation: "create", path: path, code: code) }
            return nil
        }
        // The name is given through /proc, which a container may lack.
        guard Paths.exists(procPath(descriptor)) else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func procPath(_ descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }

    /// `__O_TMPFILE` of fcntl.h, whose public macro Swift does not import.
    private static let temporaryFlag: Int32 = 0o20000000

    deinit {
        if isNamed && !isCommitted {
            unsafe unlink(temporary)
            TemporaryFiles.remove(temporary)
        }
    }

    /// Appends bytes.
    @unsafe package func write(_ buffer: UnsafeRawBufferPointer) throws(FileError) {
        unsafe try write(buffer, at: position)
        position += UInt64(buffer.count)
    }

    package func write(_ bytes: [UInt8]) throws(FileError) {
        var failure: FileError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(FileError) { unsafe try write(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Overwrites bytes at `offset`, without moving the position: for headers that are known last.
    @unsafe package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        precondition(!isCommitted, "a finished file is written")
        unsafe try descriptor.write(buffer, at: offset)
    }

    /// Syncs the bytes and gives the file its name. Nothing may be written afterwards.
    /// - Returns: how long that took, which is the disk's time: it gets what it has not yet, and lets go what the file replaces.
    @discardableResult
    package func commit() throws(FileError) -> Duration {
        let start = ContinuousClock.now
        guard fsync(descriptor.number) == 0 else { throw .system(operation: "sync", path: path, code: errno) }
        var failure: FileError?
        // Under the lock of TemporaryFiles an interrupt comes before or after the naming, never between its steps.
        TemporaryFiles.withLock { names in
            failure = replace ? replaceTarget() : linkTarget()
            if failure == nil { names.remove(temporary) }
        }
        if let failure { throw failure }
        isCommitted = true
        let folder = unsafe open(Paths.parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
        return start.duration(to: .now)
    }

    /// Gives the file its name, which must be free: a link, unlike a rename, never replaces what is there.
    private func linkTarget() -> FileError? {
        if let failure = link(to: path) { return failure }
        if isNamed { unsafe unlink(temporary) }
        return nil
    }

    /// Puts the file in the place of what has its name. A nameless file needs a temporary name for that.
    private func replaceTarget() -> FileError? {
        if !isNamed, let failure = link(to: temporary) { return failure }
        guard unsafe rename(temporary, path) == 0 else {
            let code = errno
            unsafe unlink(temporary)
            return .system(operation: "rename", path: path, code: code)
        }
        return nil
    }

    private func link(to name: String) -> FileError? {
        let source = isNamed ? temporary : Self.procPath(descriptor.number)
        guard unsafe linkat(AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 else {
            return errno == EEXIST ? .exists(path: path) : .system(operation: "link", path: path, code: errno)
        }
        return nil
    }

    /// Writes a whole small file at once.
    package static func write(_ bytes: [UInt8], to path: String, replace: Bool, inputs: [FileIdentity] = []) throws(FileError) {
        let file = try OutputFile(path: path, replace: replace, inputs: inputs)
        try file.write(bytes)
        try file.commit()
    }
}
