extension String {
    /// The string as a message shows it: in quotes, control characters escaped, cut when long.
    ///
    /// Names in messages come from files that nobody vouches for; raw, they could steer the terminal or fill the screen.
    package var quoted: String {
        var result = "\""
        for (position, scalar) in unicodeScalars.enumerated() {
            guard position < 160 else { return result + "...\" (\(utf8.count) bytes)" }
            switch scalar.value {
            case 0x22, 0x5C: result += "\\\(scalar)"
            // C0 and C1 controls, and the marks that reverse or hide text.
            case 0..<0x20, 0x7F..<0xA0, 0x200B...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
