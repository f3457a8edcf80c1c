import StrictJSON
import TestKit
import Testing

struct JSONParserTests {
    private static func parse(_ text: String, depth: Int = 64, values: Int = .max) throws(JSONError) -> JSONValue {
        try JSONValue.parse(Array(text.utf8), maximumDepth: depth, maximumValues: values)
    }

    @Test(
        arguments: [
            ("null", .null), (" true\n", true), ("\tfalse\r", false), ("0", 0), ("-1", -1), ("[]", []), ("{}", [:]), ("[ ]", []), ("{ }", [:]),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
            ("0.5", .number(0.5)), ("1e3", .number(1000)), ("-2.5E-1", .number(-0.25)), ("1.0", .number(1)), ("\"\"", ""), ("1e-400", .number(0)),
            (#""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\uDE00""#, "\"\\/\u{8}\u{C}\n\r\tA\u{E9}\u{1F600}"),
            ("\"\u{7F}\u{2028}\u{1F600}\"", "\u{7F}\u{2028}\u{1F600}"),
            ("[1,[2,{\"a\":[null]}]]", [1, [2, ["a": [.null]]]]), (#""a\u0000b""#, "a\0b"),
        ] as [(String, JSONValue)])
    func accepts(text: String, value: JSONValue) throws {
        #expect(try Self.parse(text) == value)
    }

    @Test("minus zero keeps its sign") func minusZero() throws {
        let value = try Self.parse("-0")
        #expect(value.integer == nil)
        #expect(value.double?.sign == .minus)
        #expect(value.text == "-0.0")
    }

    @Test(arguments: [
        ("", 0), (" ", 1), ("nul", 3), ("nulL", 3), ("01", 1), ("-", 1), ("+1", 0), (".5", 0), ("1.", 2), ("1e", 2), ("1e+", 3), ("-a", 1), ("0x10", 1),
        ("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("[1,]", 3), ("[1 2]", 3), ("[", 1), ("[1", 2), ("{", 1), ("{\"a\"", 4), ("{\"a\":", 5), ("{\"a\":1", 6),
        ("{\"a\":1,}", 7), ("{a:1}", 1), ("{1:1}", 1), ("{\"a\" 1}", 5), ("\"", 1), ("\"a", 2), ("\"\\", 2), ("\"\\x\"", 2), ("\"\\u12\"", 5),
        ("\"\\u00g0\"", 5),
        ("\"\\ud800\"", 7), ("\"\\ud800x\"", 7), ("\"\\ud800\\n\"", 7), ("\"\\ud800\\u0041\"", 13), ("\"\\udc00\"", 7), ("\"a\nb\"", 2), ("\"a\0\"", 2),
        ("1 2", 2),
        ("{}x", 2), ("'a'", 0), ("// c\n1", 0), ("\u{FEFF}1", 0), ("1e999", 0), ("-1e999", 0), ("\u{A0}1", 0),
    ])
    func rejects(text: String, offset: Int) {
        #expect {
            try Self.parse(text)
        } throws: { error in
            if case .syntax(offset, _, _)? = error as? JSONError { true } else { false }
        }
    }

    @Test("a key that comes twice is an error, also behind an escape and in a large object")
    func duplicateKeys() {
        #expect(throws: JSONError.duplicateKey("a", offset: 7)) { try Self.parse(#"{"a":1,"a":1}"#) }
        #expect(throws: JSONError.duplicateKey("a", offset: 7)) { try Self.parse(#"{"a":1,"\u0061":1}"#) }
        let many = (0..<50).map { "\"k\($0)\":0" }.joined(separator: ",")
        #expect(throws: JSONError.duplicateKey("k3", offset: many.utf8.count + 2)) { try Self.parse("{\(many),\"k3\":0}") }
    }

    @Test("keys that differ in bytes are different, although Swift holds the strings equal")
    func canonicalEquivalence() throws {
        let value = try Self.parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(value["\u{E9}"] == 1)
        #expect(value["e\u{301}"] == 2)
    }

    @Test(arguments: [
        [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
        [0x22, 0x5C, 0x6E, 0xE2, 0x82, 0x22],
    ])
    func rejectsInvalidUTF8(text: [UInt8]) {
        #expect(throws: JSONError.notUTF8(offset: 1)) { try JSONValue.parse(text) }
    }

    @Test("nesting and the number of values are bounded")
    func limits() throws {
        #expect(try Self.parse("[[1]]", depth: 2) == [[1]])
        #expect(throws: JSONError.tooDeep(limit: 1, offset: 2)) { try Self.parse("[[1]]", depth: 1) }
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONError.tooDeep(limit: 64, offset: 65)) { try Self.parse(deep) }
        #expect(try Self.parse("[1,2]", values: 3) == [1, 2])
        #expect(throws: JSONError.tooManyValues(limit: 2, offset: 3)) { try Self.parse("[1,2]", values: 2) }
        #expect(throws: JSONError.tooManyValues(limit: 0, offset: 0)) { try Self.parse("1", values: 0) }
    }

    @Test("damaged texts give a value that can be written and read again, or an error")
    func fuzz() throws {
        var random = SplitMix64(seed: 1)
        let text = Array(#"{"a":[1,-2.5e3,true,null,"\u00e9\n\ud83d\ude00 x"],"b":{"c":{},"d":[[]]},"e":9223372036854775807,"é":"ü"}"#.utf8)
        var accepted = 0
        let count = 4000
        for _ in 0..<count {
            var damaged = text
            for _ in 0..<Int.random(in: 1...3, using: &random) { damaged = Fuzzing.damage(damaged, using: &random) }
            guard let value = try? JSONValue.parse(damaged, maximumDepth: 8) else { continue }
            accepted += 1
            #expect(try JSONValue.parse(value.canonicalText) == value)
        }
        #expect((1..<count).contains(accepted))
    }
}
