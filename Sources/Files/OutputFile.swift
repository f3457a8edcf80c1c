import Glibc

/// A file that appears under its name complete, or not at all.
///
/// Bytes go to a nameless file in the target's folder (`O_TMPFILE`), so that a kill at any moment leaves nothing behind. `commit`
/// syncs it and gives it its name in one step. Where the volume has no nameless files, a hidden temporary takes the place,
/// registered in `TemporaryFiles` so that an interrupt removes it. What is replaced is looked at once more in that moment.
package final class OutputFile {
    package let path: String
    /// Bytes written so far, which is where the next `write` goes.
    package private(set) var position: UInt64 = 0
    package let descriptor: OutputDescriptor
    private let place: OutputPlace
    private let replace: Bool
    private let temporary: String
    /// Whether `temporary` is a name of this file, and goes with it.
    private var isNamed: Bool
    private var isCommitted = false

    /// Checks that `path` can be written and opens the temporary.
    /// - Parameters:
    ///   - kind: how a file that this tool wrote earlier is known; without one, every file that is not empty is somebody else's.
    ///   - replace: whether such a file at `path` may be replaced. Nothing else ever is.
    ///   - inputs: files the output must not be, whatever `replace` says.
    package init(path: String, kind: OutputKind? = nil, replace: Bool, inputs: [FileIdentity] = []) throws(FileError) {
        place = OutputPlace(path: path, kind: kind, inputs: inputs)
        if case .replaceable = try place.occupant(), !replace { throw .exists(path: path) }
        guard !Paths.name(of: path).isEmpty else { throw .notRegular(path: path, found: "the name of a folder") }
        self.path = path
        self.replace = replace
        let folder = Paths.parent(of: path)
        if let nameless = try Self.openNameless(in: folder, path: path) {
            temporary = TemporaryFiles.name(in: folder)
            descriptor = OutputDescriptor(nameless, path: path)
            isNamed = false
        } else {
            (temporary, descriptor) = try Self.openNamed(path)
            isNamed = true
        }
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

    /// Opens a hidden temporary beside `path` and does with it what will be done at the end: what the volume cannot do is found out before the work.
    /// Its name ends as the output's, since a volume may refuse characters.
    private static func openNamed(_ path: String) throws(FileError) -> (String, OutputDescriptor) {
        let folder = Paths.parent(of: path)
        let (first, second) = (TemporaryFiles.name(in: folder, like: Paths.name(of: path)), TemporaryFiles.name(in: folder, like: Paths.name(of: path)))
        TemporaryFiles.add(first)
        TemporaryFiles.add(second)
        defer { TemporaryFiles.remove(first) }
        let number = unsafe open(first, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
        guard number >= 0 else {
            let code = errno
            TemporaryFiles.remove(second)
            throw .system(operation: "create", path: path, code: code)
        }
        let descriptor = OutputDescriptor(number, path: path)
        do throws(FileError) {
            var byte: UInt8 = 0
            // Headers are written last, so that offsets go back.
            for offset: off_t in [4096, 0] where unsafe pwrite(number, &byte, 1, offset) != 1 {
                throw .system(operation: "write", path: path, code: errno)
            }
            guard ftruncate(number, 0) == 0 else { throw .system(operation: "truncate", path: path, code: errno) }
            let code = Renaming.replacing(first, to: second)
            guard code == 0 else { throw .system(operation: "rename", path: path, code: code) }
        } catch {
            unsafe unlink(first)
            TemporaryFiles.remove(second)
            throw error
        }
        return (second, descriptor)
    }

    private static func procPath(_ descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }

    /// `__O_TMPFILE` of fcntl.h, whose public macro Swift does not import.
    private static let temporaryFlag: Int32 = 0o20000000

    deinit { removeTemporary() }

    private func removeTemporary() {
        guard isNamed else { return }
        unsafe unlink(temporary)
        TemporaryFiles.remove(temporary)
        isNamed = false
    }

    /// Appends bytes.
    @unsafe func write(_ buffer: UnsafeRawBufferPointer) throws(FileError) {
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
        try descriptor.sync()
        if try !linkTarget() {
            if !isNamed { try nameTemporary() }
            var failure: FileError?
            // Under the lock of TemporaryFiles an interrupt comes before or after the naming, never between its steps.
            TemporaryFiles.withLock { names in
                failure = replace ? replaceTarget() : takeName()
                if !isNamed { names.remove(temporary) }
            }
            if let failure { throw failure }
        }
        isCommitted = true
        let folder = unsafe open(Paths.parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
        return start.duration(to: .now)
    }

    /// Gives the file its name in one step, where it may replace nothing and the volume has links: a link, unlike a rename, never replaces what is there.
    /// - Returns: whether that was the way.
    private func linkTarget() throws(FileError) -> Bool {
        guard !replace else { return false }
        let code = link(to: path)
        guard code != EEXIST else { throw taken() }
        if code == 0 { removeTemporary() }
        return code == 0
    }

    /// Gives a nameless file its temporary name; a volume that refuses gets a copy under that name.
    private func nameTemporary() throws(FileError) {
        TemporaryFiles.add(temporary)
        defer { isNamed = true }
        guard link(to: temporary) != 0 else { return }
        let number = unsafe open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
        guard number >= 0 else {
            throw .system(operation: "create", path: path, code: errno)
        }
        try descriptor.copy(to: OutputDescriptor(number, path: path))
    }

    /// Gives the temporary its name, which must be free.
    private func takeName() -> FileError? {
        let code = Renaming.exclusively(temporary, to: path)
        guard code != EEXIST else { return taken() }
        guard code == 0 else { return .system(operation: "rename", path: path, code: code) }
        isNamed = false
        return nil
    }

    /// Puts the temporary in the place of what has its name now, if that may be replaced.
    private func replaceTarget() -> FileError? {
        switch Renaming.exchange(temporary, path) {
        case 0:
            guard place.allows(temporary) else {
                let code = Renaming.exchange(temporary, path) ?? EINVAL
                guard code == 0 else {
                    isNamed = false
                    return .displaced(path: path, to: temporary)
                }
                return taken()
            }
            unsafe unlink(temporary)
            isNamed = false
            return nil
        case ENOENT: return takeName()
        case let code?: return .system(operation: "rename", path: path, code: code)
        case nil: break
        }
        do throws(FileError) {
            guard case .replaceable = try place.occupant() else { return takeName() }
        } catch { return error }
        let code = Renaming.replacing(temporary, to: path)
        guard code == 0 else { return .system(operation: "rename", path: path, code: code) }
        isNamed = false
        return nil
    }

    /// What to say of a name that was free, or had something replaceable, when the work began.
    private func taken() -> FileError {
        do throws(FileError) { _ = try place.occupant() } catch { return error }
        return .exists(path: path)
    }

    private func link(to name: String) -> Int32 {
        unsafe linkat(AT_FDCWD, readablePath, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno
    }

    /// Writes a whole small file at once.
    package static func write(
        _ bytes: [UInt8], to path: String, kind: OutputKind? = nil, replace: Bool, inputs: [FileIdentity] = []
    ) throws(FileError) {
        let file = try OutputFile(path: path, kind: kind, replace: replace, inputs: inputs)
        try file.write(bytes)
        try file.commit()
    }
}
