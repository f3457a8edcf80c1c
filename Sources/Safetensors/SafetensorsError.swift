package import Files
package import StrictJSON
package import Tensors

/// Why a safetensors file could not be read or written.
package enum SafetensorsError: Error, Sendable, Equatable, CustomStringConvertible {
    case file(FileError)
    case machine(MachineError)

    // The file as a whole.
    case tooShort(path: String, found: UInt64)
    case looksLike(path: String, FileKind)
    case headerBeyondFile(path: String, headerByteCount: UInt64, found: UInt64)
    case headerTooLarge(path: String, limit: UInt64, found: UInt64)
    case notAnObject(path: String)
    case header(path: String, JSONError)
    case tooManyTensors(path: String, limit: Int)
    case metadata(path: String, key: String?, found: String)
    case missingTensor(path: String, tensor: String)

    // One tensor's entry in the header.
    case name(path: String, tensor: String, limit: Int)
    case member(path: String, tensor: String, member: String, expected: String, found: String)
    case unsupportedType(path: String, tensor: String, found: String)
    case rank(path: String, tensor: String, limit: Int, found: Int)
    case shapeTooLarge(path: String, tensor: String, extents: [Int64])
    case reversedOffsets(path: String, tensor: String, begin: UInt64, end: UInt64)
    case sizeMismatch(path: String, tensor: String, dtype: DType, shape: Shape, expected: UInt64, found: UInt64)

    // The tensors' places in the file.
    case beyondFile(path: String, tensor: String, end: UInt64, found: UInt64)
    case overlap(path: String, tensor: String, other: String, expected: UInt64, found: UInt64)
    case hole(path: String, tensor: String, expected: UInt64, found: UInt64)
    case trailingBytes(path: String, expected: UInt64, found: UInt64)

    // Writing.
    case duplicateTensor(path: String, tensor: String)
    case surplusBytes(path: String, expected: UInt64)
    case unfinishedTensor(path: String, tensor: String, expected: UInt64, found: UInt64)

    package var description: String {
        switch self {
        case .file(let error): return "\(error)"
        case .machine(let error): return "\(error)"
        case .tooShort(let path, let found):
            return "\(path): expected a safetensors file of at least 10 bytes, found \(found); the file is empty or cut off, fetch it again"
        case .looksLike(let path, let kind):
            return "\(path): expected a safetensors file, found \(kind.advice)"
        case .headerBeyondFile(let path, let count, let found):
            return "\(path): expected a file of at least 8 + \(count) bytes, which is what its header length says, found \(found); "
                + "the file is cut off or is no safetensors file, fetch it again"
        case .headerTooLarge(let path, let limit, let found):
            let reason =
                found > 100_000_000
                ? "the file is damaged or is no safetensors file"
                : "the format allows that, and no checkpoint of SANA-Sprint needs it: shorten its __metadata__"
            return "\(path): expected a header of at most \(limit) bytes, found \(found); \(reason)"
        case .notAnObject(let path):
            return "\(path): expected '{' as the first byte of the header; the file is damaged or is no safetensors file"
        case .header(let path, let error): return "\(path): header: \(error)"
        case .tooManyTensors(let path, let limit): return "\(path): expected at most \(limit) tensors, found more"
        case .metadata(let path, let key, let found):
            let subject = key.map { "__metadata__ \($0.quoted): expected a string" } ?? "__metadata__: expected an object of strings"
            return "\(path): \(subject), found \(found)"
        case .missingTensor(let path, let tensor): return "\(path): expected a tensor \(tensor.quoted), found none of this name"
        case .name(let path, let tensor, let limit):
            return "\(path): expected a tensor name of 1 to \(limit) bytes, found \(tensor.utf8.count) bytes: \(tensor.quoted)"
        case .member(let path, let tensor, let member, let expected, let found):
            return "\(path): tensor \(tensor.quoted): \(member): expected \(expected), found \(found)"
        case .unsupportedType(let path, let tensor, let found):
            let supported = DType.allCases.map(\.rawValue).joined(separator: ", ")
            let known = Self.unsupportedTypes.contains(found) ? ", a type of the format that is not supported here" : ""
            return "\(path): tensor \(tensor.quoted): dtype: expected one of \(supported), found \(found.quoted)\(known)"
        case .rank(let path, let tensor, let limit, let found):
            return "\(path): tensor \(tensor.quoted): shape: expected at most \(limit) extents, found \(found)"
        case .shapeTooLarge(let path, let tensor, let extents):
            return "\(path): tensor \(tensor.quoted): shape: expected fewer than 2^63 bytes, found \(extents)"
        case .reversedOffsets(let path, let tensor, let begin, let end):
            return "\(path): tensor \(tensor.quoted): data_offsets: expected begin <= end, found [\(begin), \(end)]"
        case .sizeMismatch(let path, let tensor, let dtype, let shape, let expected, let found):
            return "\(path): tensor \(tensor.quoted): data_offsets: expected \(expected) bytes for \(dtype.rawValue) \(shape), found \(found)"
        case .beyondFile(let path, let tensor, let end, let found):
            return "\(path): tensor \(tensor.quoted): expected a file of at least \(end) bytes, found \(found); the file is cut off, fetch it again"
        case .overlap(let path, let tensor, let other, let expected, let found):
            return "\(path): tensor \(tensor.quoted): expected to begin at \(expected), behind \(other.quoted), found \(found): the two overlap"
        case .hole(let path, let tensor, let expected, let found):
            return "\(path): tensor \(tensor.quoted): expected to begin at \(expected), found \(found): the bytes between belong to no tensor"
        case .trailingBytes(let path, let expected, let found):
            return "\(path): expected the file to end at \(expected) with its last tensor, found \(found) bytes"
        case .duplicateTensor(let path, let tensor): return "\(path): expected tensor names that differ, found \(tensor.quoted) twice"
        case .surplusBytes(let path, let expected): return "\(path): expected \(expected) bytes of tensors in all, found more"
        case .unfinishedTensor(let path, let tensor, let expected, let found):
            return "\(path): tensor \(tensor.quoted): expected \(expected) bytes, found \(found) when the file was finished"
        }
    }

    /// Types that the format defines and no checkpoint of a supported model uses.
    static let unsupportedTypes: Set<String> = ["F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"]
}
