package import Files

extension OutputKind {
    /// Whatever is there: for tests that change their own files.
    package static let anything = OutputKind("anything") { _ in true }
}
