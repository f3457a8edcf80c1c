package import StrictJSON

/// Why a prompt or a tokenizer cannot be used. Subjects name file and member: "tokenizer.json: model: merges".
package enum TextError: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLarge(subject: String, byteCount: Int, limit: Int)
    case json(subject: String, JSONError)
    /// A feature of the tokenizers library that this runtime does not have.
    case unsupported(subject: String, found: String, supported: String)
    /// Parts of a tokenizer that contradict one another.
    case inconsistent(subject: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .tooLarge(let subject, let byteCount, let limit): "\(subject): expected at most \(limit) bytes, found \(byteCount)"
        case .json(let subject, let error): "\(subject): \(error)"
        case .unsupported(let subject, let found, let supported): "\(subject): found \(found), which is not supported; supported: \(supported)"
        case .inconsistent(let subject, let expected, let found): "\(subject): expected \(expected), found \(found)"
        }
    }
}
