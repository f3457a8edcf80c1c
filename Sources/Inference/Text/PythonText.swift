/// `str.lower()` and `str.strip()` as CPython computes them.
///
/// Swift's own `lowercased()` has no rule for the final sigma. Characters are those of Unicode 14, which Python 3.11 has; a
/// letter that came later has no lower case here, whatever Unicode version the Swift library knows.
/// Source: CPython's Objects/unicodeobject.c (`lower_ucs4`, `handle_capital_sigma`, `_PyUnicode_IsWhitespace`).
enum PythonText {
    /// `text.lower().strip()`: what the pipeline of diffusers does to a prompt.
    static func normalized(_ text: String) -> String { stripped(lowercased(text)) }

    /// `str.lower()`.
    static func lowercased(_ text: String) -> String {
        let scalars = Array(text.unicodeScalars)
        var result = String.UnicodeScalarView()
        for (position, scalar) in scalars.enumerated() {
            if scalar == capitalSigma {
                result.append(isFinalSigma(scalars, position) ? "\u{3C2}" : "\u{3C3}")
            } else if isKnown(scalar) {
                // One by one: `append(contentsOf:)` copies all that is there already.
                for lower in scalar.properties.lowercaseMapping.unicodeScalars { result.append(lower) }
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// `str.strip()`.
    static func stripped(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let tail = scalars.drop(while: isSpace)
        guard let last = tail.lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(tail[...last])
    }

    private static let capitalSigma: Unicode.Scalar = "\u{3A3}"

    /// Whether the capital sigma at `position` ends a word: a cased letter before it and none after it, those between that have no
    /// case of their own (accents, apostrophes) not counted.
    private static func isFinalSigma(_ scalars: [Unicode.Scalar], _ position: Int) -> Bool {
        guard let before = scalars[..<position].last(where: { !isCaseIgnorable($0) }), isCased(before) else { return false }
        guard let after = scalars[(position + 1)...].first(where: { !isCaseIgnorable($0) }) else { return true }
        return !isCased(after)
    }

    /// U+1171E was a mark that does not count until Unicode 15 and counts since.
    private static func isCaseIgnorable(_ scalar: Unicode.Scalar) -> Bool {
        isKnown(scalar) && (scalar.properties.isCaseIgnorable || scalar == "\u{1171E}")
    }

    /// U+0295 was a lower-case letter until Unicode 16 and has no case since.
    private static func isCased(_ scalar: Unicode.Scalar) -> Bool { isKnown(scalar) && (scalar.properties.isCased || scalar == "\u{295}") }

    /// Whether Unicode 14 has the character.
    private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII || scalar.properties.age.map { $0.major <= 14 } ?? false
    }

    /// `str.isspace()` of one character: bidirectional type WS, B or S, or category Zs.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }
}
