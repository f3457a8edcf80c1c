/// Why a text is not acceptable JSON. Offsets count bytes from the start of the text.
package enum JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    case syntax(offset: Int, expected: String, found: String)
    case duplicateKey(String, offset: Int)
    case tooDeep(limit: Int, offset: Int)
    case tooManyValues(limit: Int, offset: Int)
    case notUTF8(offset: Int)
    /// A member of an object that is missing or of the wrong kind: `subject` names file and member.
    case field(subject: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .syntax(let offset, let expected, let found): "JSON, byte \(offset): expected \(expected), found \(found)"
        case .duplicateKey(let key, let offset): "JSON, byte \(offset): the key \(key.quoted) appears twice in one object"
        case .tooDeep(let limit, let offset): "JSON, byte \(offset): nested deeper than \(limit) levels"
        case .tooManyValues(let limit, let offset): "JSON, byte \(offset): more than \(limit) values"
        case .notUTF8(let offset): "JSON, byte \(offset): not valid UTF-8"
        case .field(let subject, let expected, let found): "\(subject): expected \(expected), found \(found)"
        }
    }
}
