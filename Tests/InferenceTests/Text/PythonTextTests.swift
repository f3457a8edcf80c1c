import StrictJSON
import Testing

@testable import Inference

/// Against CPython 3.11 (Unicode 14), as Tests/Fixtures/oracle/make_lowercase.py wrote it down.
struct PythonTextTests {
    private struct Reference {
        let lower: [Unicode.Scalar: [Unicode.Scalar]]
        let spaces: Set<Unicode.Scalar>
        let cased: Set<UInt32>
        let ignorable: Set<UInt32>
        let pairs: [(String, String)]

        init() throws {
            let json = try FixtureFiles.json("prompts/lowercase.json")
            func scalars(_ value: JSONValue?) throws -> [Unicode.Scalar] {
                try #require(value?.array).map { try #require($0.integer.flatMap { Unicode.Scalar(UInt32($0)) }) }
            }
            func ranges(_ value: JSONValue?) throws -> Set<UInt32> {
                Set(
                    try #require(value?.array).flatMap {
                        UInt32(try #require($0.array?.first?.integer))...UInt32(try #require($0.array?.last?.integer))
                    })
            }
            var lower: [Unicode.Scalar: [Unicode.Scalar]] = [:]
            for (key, value) in try #require(json["lower"]?.object).members {
                lower[try #require(UInt32(key, radix: 16).flatMap(Unicode.Scalar.init))] = try scalars(value)
            }
            self.lower = lower
            spaces = Set(try scalars(json["spaces"]))
            cased = try ranges(json["cased"])
            ignorable = try ranges(json["case_ignorable"])
            pairs = try #require(json["pairs"]?.array).map { (try #require($0.array?.first?.string), try #require($0.array?.last?.string)) }
        }
    }

    /// Every code point of the planes that have scripts and marks, and one of 257 of those that have none.
    private static let scalars = Array(
        (0...0x10FFFF as ClosedRange<UInt32>).lazy.filter { $0 < 0x20000 || (0xE0000..<0xE1000).contains($0) || $0 % 257 == 0 }
            .compactMap(Unicode.Scalar.init))

    private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// The first places where two texts differ, as a message.
    private static func firstDifference(_ found: String, _ expected: [Unicode.Scalar]) -> String? {
        let found = Array(found.unicodeScalars)
        guard found != expected else { return nil }
        let position = zip(found, expected).enumerated().first { $1.0 != $1.1 }?.offset ?? min(found.count, expected.count)
        return "scalar \(position): found \(found.dropFirst(position).prefix(6)), expected \(expected.dropFirst(position).prefix(6))"
    }

    @Test("every code point has the lower case that Python gives it")
    func everyLowerCase() throws {
        let reference = try Reference()
        let text = Self.scalars.filter { $0 != "\u{3A3}" }
        let expected = text.flatMap { reference.lower[$0] ?? [$0] }
        #expect(Self.firstDifference(PythonText.lowercased(Self.string(text)), expected) == nil)
        #expect(reference.lower.count > 1300)
    }

    @Test("every code point counts as cased or not after a sigma, and is skipped or not, as in Python", arguments: [" ", "A"] as [Unicode.Scalar])
    func everySigmaContext(next: Unicode.Scalar) throws {
        let reference = try Reference()
        var text: [Unicode.Scalar] = []
        var expected: [Unicode.Scalar] = []
        // Those that either side calls cased or ignorable, and a sample of the rest.
        let subjects = Self.scalars.filter { scalar in
            scalar.properties.isCased || scalar.properties.isCaseIgnorable || scalar.value % 61 == 0 || reference.cased.contains(scalar.value)
                || reference.ignorable.contains(scalar.value)
        }
        #expect(subjects.count > 5000)
        for scalar in subjects where scalar != "\u{3A3}" {
            text += ["A", "\u{3A3}", scalar, next, " "]
            let isInside = reference.cased.contains(scalar.value) || (reference.ignorable.contains(scalar.value) && next == "A")
            expected += ["a", isInside ? "\u{3C3}" : "\u{3C2}"] + (reference.lower[scalar] ?? [scalar]) + [next == "A" ? "a" : " ", " "]
        }
        #expect(Self.firstDifference(PythonText.lowercased(Self.string(text)), expected) == nil)
    }

    @Test("exactly Python's white space is stripped, at both ends")
    func everySpace() throws {
        let spaces = try Reference().spaces
        for scalar in Self.scalars where PythonText.stripped(String(scalar)).isEmpty != spaces.contains(scalar) {
            Issue.record("U+\(String(scalar.value, radix: 16, uppercase: true))")
        }
        let all = Self.string(spaces)
        #expect(PythonText.stripped(all + "x" + all + "y" + all).unicodeScalars.elementsEqual(("x" + all + "y").unicodeScalars))
    }

    @Test("texts come out as from str.lower().strip()")
    func pairs() throws {
        let pairs = try Reference().pairs
        #expect(pairs.count > 1000)
        for (text, expected) in pairs {
            let found = PythonText.normalized(text)
            guard !found.utf8.elementsEqual(expected.utf8) else { continue }
            Issue.record("\(text.debugDescription): expected \(expected.debugDescription), found \(found.debugDescription)")
        }
    }
}
