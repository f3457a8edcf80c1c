/// Something that is wrong, said so that a reader can act on it.
package struct Finding: Sendable, Equatable, CustomStringConvertible {
    /// The tensor, probe, blob or file.
    package let subject: String
    /// What about it: "shape", "SHA-256", "packed values", ...
    package let what: String
    package let expected: String
    package let found: String
    /// A cause or a next step, where one can be told.
    package let hint: String?
    /// What explains it, where repeating the mistake gives what was found.
    package var cause: Cause?

    package init(subject: String, what: String, expected: String, found: String, hint: String? = nil, cause: Cause? = nil) {
        self.subject = subject
        self.what = what
        self.expected = expected
        self.found = found
        self.hint = hint
        self.cause = cause
    }

    package var description: String {
        "\(subject): \(what): expected \(expected), found \(found)" + (cause.map { "; cause: \($0.text)" } ?? "") + (hint.map { "; \($0)" } ?? "")
    }
}
