import Checkpoints
package import PackedFiles

/// The user's say over single tensors: lines of `GLOB SCHEME [ACTIVATIONS]`, of which the first that fits decides (Formats/rules.md).
package struct RuleFile: Sendable, Equatable {
    let rules: [Rule]

    struct Rule: Sendable, Equatable {
        /// Line in the file, from 1.
        let line: Int
        let glob: Glob
        let scheme: Scheme
        /// Nil where the line names none: the role's default.
        let activations: ActivationScheme?

        var pattern: String { glob.pattern }
        func matches(_ name: String) -> Bool { glob.matches(name) }

        /// The rule in one spelling, as the packed file records it.
        var text: String {
            ([glob.pattern, scheme.name] + (activations.map { [$0.rawValue] } ?? [])).joined(separator: " ")
        }
    }

    /// The rules of a file's text.
    /// - Parameter schemes: those that rules may name.
    /// - Throws: `.rulesNotUTF8`, or `.rule` for the first line that is no rule.
    package init(_ text: [UInt8], schemes: SchemeList = .builtIn) throws(ConversionError) {
        guard let string = String(validating: text, as: UTF8.self) else { throw .rulesNotUTF8 }
        var rules: [Rule] = []
        for (index, line) in string.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if let rule = try Self.rule(Substring(line), line: index + 1, schemes) { rules.append(rule) }
        }
        self.rules = rules
    }

    /// The rule of one line, nil for an empty line or a comment.
    private static func rule(_ text: Substring, line: Int, _ schemes: SchemeList) throws(ConversionError) -> Rule? {
        let words = text.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" || $0 == "\r" }.map(String.init)
        guard !words.isEmpty else { return nil }
        guard (2...3).contains(words.count) else {
            throw .rule(line: line, message: "expected GLOB SCHEME [ACTIVATIONS], found \(words.count) word\(words.count == 1 ? "" : "s")")
        }
        guard let scheme = schemes[name: words[1]] else {
            throw .rule(line: line, message: "unknown scheme \"\(words[1])\"; supported are \(list(schemes.names))")
        }
        guard words.count == 3 else { return Rule(line: line, glob: Glob(words[0]), scheme: scheme, activations: nil) }
        guard let activations = ActivationScheme(rawValue: words[2]) else {
            throw .rule(line: line, message: "unknown activations \"\(words[2])\"; supported are \(list(ActivationScheme.allCases.map(\.rawValue)))")
        }
        guard scheme.isQuantized else {
            throw .rule(line: line, message: "\(scheme) takes no activations; only \(list(schemes.schemes.filter(\.isQuantized).map(\.name))) do")
        }
        return Rule(line: line, glob: Glob(words[0]), scheme: scheme, activations: activations)
    }

    private static func list(_ words: [String]) -> String { words.joined(separator: ", ") }
}
