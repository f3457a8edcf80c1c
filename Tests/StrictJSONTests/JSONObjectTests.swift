import StrictJSON
import Testing

struct JSONObjectTests {
    @Test("members are found, replaced and removed, in small objects and in ones with an index", arguments: [1, 7, 8, 9, 10, 40])
    func members(count: Int) {
        var object = JSONObject()
        for number in 0..<count {
            let isNew = object.append("k\(number)", JSONValue(number))
            #expect(isNew)
        }
        let isNewAgain = object.append("k0", 0)
        #expect(!isNewAgain)
        #expect((0..<count).allSatisfy { object["k\($0)"] == JSONValue($0) })
        object["k0"] = "zero"
        #expect(object["k0"] == "zero")
        object["new"] = 1
        #expect(object.keys == (0..<count).map { "k\($0)" } + ["new"])
        object["k0"] = nil
        #expect(object["k0"] == nil)
        #expect(object.count == count)
        #expect((1..<count).allSatisfy { object["k\($0)"] == JSONValue($0) })
        #expect(object["new"] == 1)
    }

    @Test("objects are equal whatever the order of their members") func equality() {
        #expect(JSONObject([("a", 1), ("b", 2)]) == JSONObject([("b", 2), ("a", 1)]))
        #expect(JSONObject([("a", 1)]) != JSONObject([("a", 1), ("b", 2)]))
        #expect(JSONObject([("a", 1)]) != JSONObject([("a", 2)]))
        #expect(JSONObject([("a", 1)]) != JSONObject([("b", 1)]))
    }

    @Test("an absent member and null are different things") func null() {
        var object = JSONObject([("a", .null)])
        #expect(object["a"] == .some(.null))
        #expect(object["b"] == nil)
        object["b"] = .some(.null)
        #expect(object.count == 2)
    }
}

struct ExactStringTests {
    @Test("strings are compared, ordered and hashed by their bytes") func bytes() {
        let (precomposed, combining) = (ExactString("\u{E9}"), ExactString("e\u{301}"))
        #expect(precomposed.string == combining.string)
        #expect(precomposed != combining)
        #expect(Set([precomposed, combining, ExactString("\u{E9}")]).count == 2)
        #expect(combining < precomposed)
        // UTF-16 and canonical orders would put these the other way round.
        #expect(ExactString("\u{FF5E}") < ExactString("\u{1F600}"))
        #expect(!(ExactString("a") < ExactString("a")))
        #expect(ExactString("a") < ExactString("ab"))
    }
}

struct QuotingTests {
    @Test(arguments: [
        ("plain.name", "\"plain.name\""), ("", "\"\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("\u{1B}[2J\n", "\"\\u{1b}[2J\\u{a}\""),
        ("\u{9B}\u{7F}", "\"\\u{9b}\\u{7f}\""),
        ("\u{202E}x", "\"\\u{202e}x\""), ("\u{E9}\u{1F600}", "\"\u{E9}\u{1F600}\""),
    ])
    func showsControlCharacters(string: String, expected: String) { #expect(string.quoted == expected) }

    @Test("a long string is cut, and its length said") func cuts() {
        let quoted = String(repeating: "x", count: 1000).quoted
        #expect(quoted == "\"" + String(repeating: "x", count: 160) + "...\" (1000 bytes)")
    }
}
