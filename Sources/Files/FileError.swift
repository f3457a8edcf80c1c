import Glibc

/// Why a file could not be read or written.
package enum FileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A system call failed; `code` is its errno.
    case system(operation: String, path: String, code: Int32)
    case notRegular(path: String, found: String)
    /// The file ends before the bytes that were asked for.
    case truncated(path: String, expected: UInt64, found: UInt64)
    case changedWhileReading(path: String)
    case tooLarge(path: String, limit: UInt64, found: UInt64)
    case exists(path: String)
    /// The output is one of the inputs, by name or through a link.
    case isInput(path: String)

    package var description: String {
        switch self {
        case .system(let operation, let path, let code):
            return "\(path): \(operation): \(Self.message(code))\(Self.hint(code))"
        case .notRegular(let path, let found):
            return "\(path): expected a regular file, found \(found)"
        case .truncated(let path, let expected, let found):
            return "\(path): expected at least \(expected) bytes, found \(found); the file is truncated, fetch or convert it again"
        case .changedWhileReading(let path):
            return "\(path): the file changed while it was read; run again when nothing writes to it"
        case .tooLarge(let path, let limit, let found):
            return "\(path): expected at most \(limit) bytes, found \(found)"
        case .exists(let path):
            return "\(path): the output exists already; choose another name or pass --force to replace it"
        case .isInput(let path):
            return "\(path): the output is one of the inputs; choose another name"
        }
    }

    private static func message(_ code: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 256)
        _ = unsafe text.withUnsafeMutableBytes { unsafe strerror_r(code, $0.bindMemory(to: CChar.self).baseAddress!, $0.count) }
        return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func hint(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "; free some space or write to another disk"
        case EACCES, EPERM, EROFS: "; check the permissions or write elsewhere"
        default: ""
        }
    }
}
