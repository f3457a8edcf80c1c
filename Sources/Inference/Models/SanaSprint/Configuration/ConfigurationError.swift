package import StrictJSON

/// Why a checkpoint's configuration is not one this family can compute.
package enum ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A member that is missing or of the wrong kind.
    case field(JSONError)
    /// A value with a meaning that is not implemented; `supported` lists what is.
    case unsupported(subject: String, found: String, supported: String)
    /// Values that contradict each other, within a file or between two.
    case inconsistent(subject: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .field(let error): "\(error)"
        case .unsupported(let subject, let found, let supported): "\(subject): \(found) is not supported; supported: \(supported)"
        case .inconsistent(let subject, let expected, let found): "\(subject): expected \(expected), found \(found)"
        }
    }
}
