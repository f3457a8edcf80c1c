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
    /// What has the output's name was not written by this tool.
    case foreign(path: String, expected: String)
    case isLink(path: String, target: String)
    /// A link to read from leads to nothing.
    case danglingLink(path: String, target: String)
    /// Two programs were at one name at once; what the other one wrote is now at `to`.
    case displaced(path: String, to: String)
    /// What no PNG file can hold.
    case picture(String)
    /// A file that no picture can be read from.
    case notAPicture(path: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .system(let operation, let path, let code):
            return "\(path): \(operation): \(Self.message(code))\(Self.hint(code, operation))"
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
        case .foreign(let path, let expected):
            return "\(path): expected \(expected), or nothing, found another file; only what sprintpack wrote is ever replaced: "
                + "choose another name, or move that file away"
        case .isLink(let path, let target):
            return "\(path): expected a file or nothing, found a link to \(target); a link is not replaced: name the file itself, or remove the link"
        case .danglingLink(let path, let target):
            return
                "\(path): expected a file, found a link to \(target), where nothing is; a download was not completed or its cache was cleared: fetch it again"
        case .displaced(let path, let place):
            return "\(path): another program wrote there at the same moment; what it wrote is now \(place)"
        case .picture(let message):
            return "PNG: \(message)"
        case .notAPicture(let path, let expected, let found):
            return "\(path): expected \(expected), found \(found)"
        }
    }

    private static func message(_ code: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 256)
        _ = unsafe text.withUnsafeMutableBytes { unsafe strerror_r(code, $0.bindMemory(to: CChar.self).baseAddress!, $0.count) }
        return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func hint(_ code: Int32, _ operation: String) -> String {
        switch code {
        case ENOENT where operation == "create", EINVAL where operation == "create": "; the folder is not there, or its volume takes no such name"
        case ENOSPC, EDQUOT: "; free some space or write to another disk"
        case EACCES, EPERM, EROFS: "; check the permissions or write elsewhere"
        default: ""
        }
    }
}
