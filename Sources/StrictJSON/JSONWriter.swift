extension JSONValue {
    /// The canonical text: members sorted by the bytes of their keys, no white space, shortest escapes, shortest numbers
    /// that read back the same. Equal values give equal bytes on every machine.
    /// - Precondition: numbers are finite.
    package var canonicalText: [UInt8] {
        var text: [UInt8] = []
        write(into: &text, sorted: true)
        return text
    }

    /// The text with members in their own order, on one line: what `--json` prints.
    package var text: String {
        var text: [UInt8] = []
        write(into: &text, sorted: false)
        return String(decoding: text, as: UTF8.self)
    }

    private func write(into text: inout [UInt8], sorted: Bool) {
        switch self {
        case .null: text.append(contentsOf: "null".utf8)
        case .bool(let value): text.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): text.append(contentsOf: String(value).utf8)
        case .number(let value):
            precondition(value.isFinite, "JSON has no text for \(value)")
            text.append(contentsOf: value.description.utf8)
        case .string(let value): Self.write(value, into: &text)
        case .array(let elements):
            text.append(UInt8(ascii: "["))
            for (position, element) in elements.enumerated() {
                if position > 0 { text.append(UInt8(ascii: ",")) }
                element.write(into: &text, sorted: sorted)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let object):
            let members = sorted ? object.members.sorted { ExactString($0.key) < ExactString($1.key) } : object.members
            text.append(UInt8(ascii: "{"))
            for (position, member) in members.enumerated() {
                if position > 0 { text.append(UInt8(ascii: ",")) }
                Self.write(member.key, into: &text)
                text.append(UInt8(ascii: ":"))
                member.value.write(into: &text, sorted: sorted)
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ string: String, into text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x08: text.append(contentsOf: "\\b".utf8)
            case 0x09: text.append(contentsOf: "\\t".utf8)
            case 0x0A: text.append(contentsOf: "\\n".utf8)
            case 0x0C: text.append(contentsOf: "\\f".utf8)
            case 0x0D: text.append(contentsOf: "\\r".utf8)
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                text.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
