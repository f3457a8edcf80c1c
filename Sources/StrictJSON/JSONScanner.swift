/// A position that moves through a JSON text, one value at a time.
///
/// `JSONValue.parse` builds its tree with it. What reads a text that is too large for a tree (a vocabulary of a million
/// strings) uses it directly: it takes the same texts and gives the same errors.
package struct JSONScanner {
    private let text: [UInt8]
    private let maximumDepth: Int
    private let maximumValues: Int
    private var depth = 0
    /// How many values `value()` has read so far.
    private var valueCount = 0
    /// The offset of the first byte that is not UTF-8.
    private let invalidOffset: Int?
    /// The offset of the next byte.
    package private(set) var position = 0

    /// - Parameters:
    ///   - maximumDepth: levels of arrays and objects around the innermost value. Reading recurses; a level takes about 1 KB of stack.
    ///   - maximumValues: how many values `value()` builds at most: one of two bytes ("0,") takes some thirty in a tree.
    package init(_ text: [UInt8], maximumDepth: Int = 64, maximumValues: Int = .max) {
        self.text = text
        self.maximumDepth = maximumDepth
        self.maximumValues = maximumValues
        // One pass over the whole text is much faster than one over every string; outside strings it is an error anyway.
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: text.span)
            invalidOffset = nil
        } catch {
            invalidOffset = error.byteOffsets.lowerBound
        }
        skipWhitespace()
    }

    /// Reads to the end of the text, which holds nothing more but white space.
    package mutating func end() throws(JSONError) {
        guard position == text.count else { throw unexpected("the end of the text") }
    }

    // MARK: Values

    /// What the next value starts with: one of `{ [ " t f n -` or a digit, in a text that is valid.
    package var first: UInt8? { position < text.count ? text[position] : nil }

    /// Reads an object; `member` reads the value of the key that it is given. Whether keys are unique is for it to check.
    package mutating func object(_ member: (inout JSONScanner, _ key: ArraySlice<UInt8>, _ offset: Int) throws(JSONError) -> Void) throws(JSONError) {
        try elements(from: UInt8(ascii: "{"), to: UInt8(ascii: "}"), "'{'", "',' or '}'") { (scanner) throws(JSONError) in
            guard scanner.first == UInt8(ascii: "\"") else { throw scanner.unexpected("a key in quotes") }
            let offset = scanner.position
            let key = try scanner.utf8()
            guard scanner.first == UInt8(ascii: ":") else { throw scanner.unexpected("':'") }
            scanner.advance()
            try member(&scanner, key, offset)
        }
    }

    /// Reads an array; `element` reads one value of it.
    package mutating func array(_ element: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
        try elements(from: UInt8(ascii: "["), to: UInt8(ascii: "]"), "'['", "',' or ']'", element)
    }

    /// Reads a string and gives its characters in UTF-8.
    package mutating func utf8() throws(JSONError) -> ArraySlice<UInt8> {
        guard first == UInt8(ascii: "\"") else { throw unexpected("a string") }
        position += 1
        let start = position
        skipPlainCharacters()
        // Most strings hold no escape: they are a part of the text as it is.
        var characters = text[start..<position]
        while first != UInt8(ascii: "\"") {
            switch first {
            case UInt8(ascii: "\\"): try escape(into: &characters)
            case .some: throw unexpected("no control character inside a string")
            case nil: throw unexpected("'\"'")
            }
            let plain = position
            skipPlainCharacters()
            characters.append(contentsOf: text[plain..<position])
        }
        if let invalidOffset, (start..<position).contains(invalidOffset) { throw .notUTF8(offset: start) }
        advance()
        return characters
    }

    mutating func string() throws(JSONError) -> String {
        String(decoding: try utf8(), as: UTF8.self)
    }

    /// Reads a number: an integer where it is written as one and fits 64 bits.
    package mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isInteger = true
        if first == UInt8(ascii: "-") { position += 1 }
        if first == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if first == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try digits()
        }
        if first == UInt8(ascii: "e") || first == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if first == UInt8(ascii: "+") || first == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let digits = String(decoding: text[start..<position], as: UTF8.self)
        skipWhitespace()
        // "-0" stays a floating-point number: as an integer it would lose its sign.
        if isInteger, let value = Int64(digits), value != 0 || digits.utf8.count == 1 { return .integer(value) }
        guard let value = Double(digits), value.isFinite else {
            throw .syntax(offset: start, expected: "a number that a double can hold", found: String(digits.prefix(40)))
        }
        return .number(value)
    }

    /// Reads any value and drops it.
    package mutating func skip() throws(JSONError) {
        switch first {
        case UInt8(ascii: "{"): try object { (scanner, _, _) throws(JSONError) in try scanner.skip() }
        case UInt8(ascii: "["): try array { (scanner) throws(JSONError) in try scanner.skip() }
        case UInt8(ascii: "\""): _ = try utf8()
        default: _ = try scalar()
        }
    }

    /// Reads any value into a tree.
    package mutating func value() throws(JSONError) -> JSONValue {
        guard valueCount < maximumValues else { throw .tooManyValues(limit: maximumValues, offset: position) }
        valueCount += 1
        switch first {
        case UInt8(ascii: "{"):
            var object = JSONObject()
            try self.object { (scanner, key, offset) throws(JSONError) in
                let key = String(decoding: key, as: UTF8.self)
                guard object.append(key, try scanner.value()) else { throw .duplicateKey(key, offset: offset) }
            }
            return .object(object)
        case UInt8(ascii: "["):
            var array: [JSONValue] = []
            try self.array { (scanner) throws(JSONError) in array.append(try scanner.value()) }
            return .array(array)
        default: return try scalar()
        }
    }

    /// Reads a value that is no array and no object.
    private mutating func scalar() throws(JSONError) -> JSONValue {
        switch first {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"): return try number()
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        default: throw unexpected("a value")
        }
    }
}

// MARK: - The characters

extension JSONScanner {
    private static let byteOrderMarks: [(bytes: [UInt8], encoding: String)] = [
        ([0xEF, 0xBB, 0xBF], "UTF-8"), ([0xFF, 0xFE], "UTF-16"), ([0xFE, 0xFF], "UTF-16"),
    ]

    private func unexpected(_ expected: String) -> JSONError {
        guard position < text.count else { return .syntax(offset: position, expected: expected, found: "the end of the text") }
        let byte = text[position]
        if position == 0, let mark = Self.byteOrderMarks.first(where: { text.starts(with: $0.bytes) }) {
            return .syntax(offset: 0, expected: expected, found: "a byte order mark of \(mark.encoding); save the file as UTF-8 without one")
        }
        let found = byte > 0x20 && byte < 0x7F ? "'\(Unicode.Scalar(byte))'" : "the byte 0x\(String(byte, radix: 16))"
        return .syntax(offset: position, expected: expected, found: found)
    }

    private mutating func skipWhitespace() {
        while let byte = first, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    /// Moves over the byte at the position and the white space after it.
    private mutating func advance() {
        position += 1
        skipWhitespace()
    }

    private mutating func elements(
        from open: UInt8, to close: UInt8, _ start: StaticString, _ separator: StaticString, _ element: (inout JSONScanner) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard first == open else { throw unexpected(start.description) }
        advance()
        guard first != close else { return advance() }
        depth += 1
        while true {
            guard depth <= maximumDepth else { throw .tooDeep(limit: maximumDepth, offset: position) }
            try element(&self)
            if first == close { break }
            guard first == UInt8(ascii: ",") else { throw unexpected(separator.description) }
            advance()
        }
        depth -= 1
        advance()
    }

    private mutating func literal(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        for byte in word.description.utf8 {
            guard first == byte else { throw unexpected("\"\(word)\"") }
            position += 1
        }
        skipWhitespace()
        return value
    }

    /// Moves to the next quote, backslash or control character.
    private mutating func skipPlainCharacters() {
        while let byte = first, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
    }

    private mutating func escape(into bytes: inout ArraySlice<UInt8>) throws(JSONError) {
        position += 1
        guard let byte = first else { throw unexpected("an escape") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"): bytes.append(contentsOf: String(try unicodeEscape()).utf8)
        default:
            position -= 1
            throw unexpected("one of \" \\ / b f n r t u after a backslash")
        }
    }

    /// The scalar of `\uXXXX`, or of two of them that form a surrogate pair; the position is behind the `u`.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let high = try fourHexDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xDC00, first == UInt8(ascii: "\\"), position + 1 < text.count, text[position + 1] == UInt8(ascii: "u") else {
            throw unexpected("the second half of a surrogate pair")
        }
        position += 2
        let low = try fourHexDigits()
        guard (0xDC00..<0xE000).contains(low), let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) else {
            throw unexpected("the second half of a surrogate pair")
        }
        return scalar
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = first, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw unexpected("four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func digits() throws(JSONError) {
        guard let byte = first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { throw unexpected("a digit") }
        while let byte = first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    }
}
