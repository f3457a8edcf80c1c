package import Files
import StrictJSON

/// Why a file of torch.save could not be read. Nothing of such a file is ever executed.
package enum TorchFileError: Error, Sendable, Equatable, CustomStringConvertible {
    case file(FileError)

    // The archive.
    /// A part of the zip archive is not as torch writes it.
    case archive(path: String, part: String, expected: String, found: String)
    case unsupportedEntry(path: String, entry: String, found: String, advice: String)
    case missingEntry(path: String, entry: String)
    case checksum(path: String, entry: String, expected: UInt32, found: UInt32)
    case notAStateDict(path: String, found: String, advice: String)

    // The pickle: places are offsets of its bytes.
    case truncatedPickle(path: String, at: Int)
    case opcode(path: String, at: Int, name: String, advice: String)
    case global(path: String, at: Int, name: String, advice: String)
    /// An instruction that the machine knows, with operands that it cannot have.
    case operand(path: String, at: Int, subject: String, expected: String, found: String)
    case limit(path: String, subject: String, limit: Int)

    // Tensors.
    case tensor(path: String, subject: String, member: String, expected: String, found: String)
    case noSuchContainer(path: String, container: String, found: [String])
    case repeatedName(path: String, container: String, tensor: String)

    package var description: String {
        switch self {
        case .file(let error): return "\(error)"
        case .archive(let path, let part, let expected, let found):
            return "\(path): \(part): expected \(expected), found \(found); the file is damaged or was not written by torch.save: fetch or save it again"
        case .unsupportedEntry(let path, let entry, let found, let advice):
            return "\(path): entry \(entry.quoted): expected plain bytes as torch.save writes them, found \(found); \(advice)"
        case .missingEntry(let path, let entry):
            return "\(path): expected the entry \(entry.quoted), found none; the file is damaged or was not written by torch.save: fetch or save it again"
        case .checksum(let path, let entry, let expected, let found):
            return "\(path): entry \(entry.quoted): expected the checksum \(Hex.digits(UInt64(expected), width: 8)), "
                + "found \(Hex.digits(UInt64(found), width: 8)); the file is damaged, fetch it again"
        case .notAStateDict(let path, let found, let advice): return "\(path): expected a dictionary of tensors, found \(found); \(advice)"
        case .truncatedPickle(let path, let at): return "\(path): data.pkl: expected more bytes at \(at), found its end; the file is damaged, fetch it again"
        case .opcode(let path, let at, let name, let advice):
            return "\(path): data.pkl: expected an instruction that weights need, found \(name) at byte \(at); \(advice)"
        case .global(let path, let at, let name, let advice):
            return "\(path): data.pkl: expected only what weights need, found \(name.quoted) at byte \(at); nothing was executed; \(advice)"
        case .operand(let path, let at, let subject, let expected, let found):
            return "\(path): data.pkl: \(subject) at byte \(at): expected \(expected), found \(found); "
                + "torch.save does not write this: nothing was executed, fetch or save the file again"
        case .limit(let path, let subject, let limit):
            return "\(path): expected at most \(limit) \(subject), found more; save a file with the weights alone"
        case .tensor(let path, let subject, let member, let expected, let found):
            return "\(path): \(subject): \(member): expected \(expected), found \(found); the file is damaged, fetch or save it again"
        case .noSuchContainer(let path, let container, let found):
            return "\(path): expected tensors in \(container.quoted), found them in \(found.isEmpty ? "none" : found.map(\.quoted).joined(separator: ", "))"
        case .repeatedName(let path, let container, let tensor):
            return "\(path): \(container.quoted): expected each tensor once, found \(tensor.quoted) twice; save the file again"
        }
    }

    /// What to do about a file that holds more than weights.
    static let saveWeights = "where you trust the file, load it there and save the state_dict of its model alone"
}
