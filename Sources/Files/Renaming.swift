import Glibc

/// Renames that look before they replace, on volumes of every kind. Results are errno, 0 for success.
package enum Renaming {
    /// Gives a file a name that must be free: atomically where the volume can (`RENAME_NOREPLACE`), else over an empty file that takes the name first.
    static func exclusively(_ source: String, to target: String) -> Int32 {
        let code = rename(source, target, flags: 1)
        guard isUnsupported(code) else { return code }
        // Two steps: a kill between them leaves the empty file.
        let placeholder = unsafe open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
        guard placeholder >= 0 else { return errno }
        close(placeholder)
        let failure = replacing(source, to: target)
        // It goes again, unless somebody has filled it meanwhile.
        var status = stat()
        if failure != 0, unsafe lstat(target, &status) == 0, status.st_size == 0 { unsafe unlink(target) }
        return failure
    }

    /// Exchanges two names atomically (`RENAME_EXCHANGE`); nil where the volume cannot.
    package static func exchange(_ left: String, _ right: String) -> Int32? {
        let code = rename(left, right, flags: 2)
        return isUnsupported(code) ? nil : code
    }

    /// A plain rename, which replaces what is there.
    package static func replacing(_ source: String, to target: String) -> Int32 { unsafe Glibc.rename(source, target) == 0 ? 0 : errno }

    private typealias RenameAt2 = @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32

    private static func rename(_ source: String, _ target: String, flags: UInt32) -> Int32 {
        // Swift's module of the C library leaves it out.
        guard let function = unsafe dlsym(nil, "renameat2") else { return ENOSYS }
        return unsafe unsafeBitCast(function, to: RenameAt2.self)(AT_FDCWD, source, AT_FDCWD, target, flags) == 0 ? 0 : errno
    }

    private static func isUnsupported(_ code: Int32) -> Bool { [EINVAL, ENOSYS, EOPNOTSUPP].contains(code) }
}
