extension JSONValue {
    /// Parses a whole text as RFC 8259 describes it, with nothing before or after the value but white space.
    ///
    /// Stricter than most parsers: duplicate keys, lone surrogates, invalid UTF-8 and nesting beyond `maximumDepth` are errors.
    /// Complexity: linear in the text. The caller bounds the text's size; where the text is not to be trusted and may be large, it bounds
    /// the number of values too, since a value of two bytes ("0,") takes some thirty in memory.
    /// - Parameter maximumDepth: levels of arrays and objects around the innermost value. Parsing recurses; a level takes about 1 KB of stack.
    package static func parse(_ text: [UInt8], maximumDepth: Int = 64, maximumValues: Int = .max) throws(JSONError) -> JSONValue {
        var scanner = JSONScanner(text, maximumDepth: maximumDepth, maximumValues: maximumValues)
        let value = try scanner.value()
        try scanner.end()
        return value
    }
}
