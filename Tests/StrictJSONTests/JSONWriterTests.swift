import StrictJSON
import TestKit
import Testing

struct JSONWriterTests {
    @Test("canonical text: sorted by the bytes of the keys, no white space, shortest escapes")
    func canonical() {
        let value: JSONValue = ["b": [1, .number(2.5), .null, true], "a": "\u{0}\u{1F}\"\\\n/\u{7F}\u{E9}", "\u{FF5E}": 1, "\u{1F600}": 2, "B": [:]]
        let expected = #"{"B":{},"a":"\u0000\u001f\"\\\n/"# + "\u{7F}\u{E9}" + #"","b":[1,2.5,null,true],"# + "\"\u{FF5E}\":1,\"\u{1F600}\":2}"
        #expect(String(decoding: value.canonicalText, as: UTF8.self) == expected)
    }

    @Test("text keeps the members' order") func order() {
        let value: JSONValue = ["b": 1, "a": [2]]
        #expect(value.text == #"{"b":1,"a":[2]}"#)
    }

    @Test(arguments: [0.1, 1e300, -1e-300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 123_456_789.125, 1e16, 1e15, .pi])
    func numbersReadBack(number: Double) throws {
        #expect(try JSONValue.parse(JSONValue.number(number).canonicalText) == .number(number))
    }

    @Test("any value reads back equal, and the canonical text does not depend on the members' order", arguments: 0..<200)
    func roundTrip(seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        let value = Self.value(depth: 0, using: &random)
        #expect(try JSONValue.parse(value.canonicalText) == value)
        #expect(try JSONValue.parse(Array(value.text.utf8)) == value)
        #expect(Self.shuffled(value, using: &random).canonicalText == value.canonicalText)
    }

    private static func value(depth: Int, using random: inout SplitMix64) -> JSONValue {
        switch Int.random(in: 0..<(depth < 4 ? 8 : 6), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64(truncatingIfNeeded: random.next()) >> Int64.random(in: 0..<64, using: &random))
        case 3:
            let number = Double(bitPattern: random.next())
            return .number(number.isFinite ? number : 0.5)
        case 4, 5: return .string(string(using: &random))
        case 6: return .array((0..<Int.random(in: 0..<5, using: &random)).map { _ in value(depth: depth + 1, using: &random) })
        default:
            var object = JSONObject()
            for _ in 0..<Int.random(in: 0..<20, using: &random) {
                _ = object.append(string(using: &random), value(depth: depth + 1, using: &random))
            }
            return .object(object)
        }
    }

    private static func string(using random: inout SplitMix64) -> String {
        var result = ""
        for _ in 0..<Int.random(in: 0..<6, using: &random) {
            let bound: UInt32 = [0x30, 0x80, 0x800, 0x11_0000][Int.random(in: 0..<4, using: &random)]
            if let scalar = Unicode.Scalar(UInt32.random(in: 0..<bound, using: &random)) { result.unicodeScalars.append(scalar) }
        }
        return result
    }

    private static func shuffled(_ value: JSONValue, using random: inout SplitMix64) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map { shuffled($0, using: &random) })
        case .object(let object): return .object(JSONObject(object.members.shuffled(using: &random).map { ($0.key, shuffled($0.value, using: &random)) }))
        default: return value
        }
    }
}
