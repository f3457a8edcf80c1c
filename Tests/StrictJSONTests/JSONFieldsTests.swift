import StrictJSON
import Testing

struct JSONFieldsTests {
    private let fields: JSONFields

    init() throws {
        let value: JSONValue = ["s": "x", "b": true, "d": .number(0.5), "i": 3, "a": [1], "o": ["k": 1], "n": .null]
        fields = try JSONFields(value, subject: "config.json")
    }

    @Test("members are read by kind; null and absent members take the default")
    func reads() throws {
        #expect(try fields.string("s") == "x")
        #expect(try fields.bool("b"))
        #expect(try fields.double("d") == 0.5)
        #expect(try fields.double("i") == 3)
        #expect(try fields.int("i", in: 1...3) == 3)
        #expect(try fields.array("a") == [1])
        #expect(try fields.fields("o").int("k", in: 0...1) == 1)
        #expect(try fields.string("n", default: "y") == "y")
        #expect(try fields.int("absent", in: 0...9, default: 7) == 7)
        #expect(fields.value("n") == nil)
    }

    @Test("a default does not excuse a wrong kind") func defaultsAreForAbsence() {
        #expect(throws: JSONError.field(subject: "config.json: s", expected: "true or false", found: "\"x\"")) { try fields.bool("s", default: true) }
    }

    @Test("errors name file, member, expected and found") func errors() {
        #expect(throws: JSONError.field(subject: "config.json: z", expected: "a string", found: "nothing")) { try fields.string("z") }
        #expect(throws: JSONError.field(subject: "config.json: n", expected: "a number", found: "null")) { try fields.double("n") }
        #expect(throws: JSONError.field(subject: "config.json: i", expected: "an integer from 4 to 9", found: "3")) { try fields.int("i", in: 4...9) }
        #expect(throws: JSONError.field(subject: "config.json: d", expected: "an integer from 0 to 9", found: "0.5")) { try fields.int("d", in: 0...9) }
        #expect(throws: JSONError.field(subject: "config.json: o: x", expected: "a string", found: "nothing")) { try fields.fields("o").string("x") }
        #expect(throws: JSONError.field(subject: "f", expected: "an object", found: "an array")) { try JSONFields([], subject: "f") }
        let long: JSONValue = ["k": .string(String(repeating: "x", count: 100))]
        #expect(throws: JSONError.field(subject: "f: k", expected: "a number", found: "a string")) { try JSONFields(long, subject: "f").double("k") }
    }
}
