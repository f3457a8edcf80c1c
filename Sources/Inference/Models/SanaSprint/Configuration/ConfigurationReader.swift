import StrictJSON

/// `JSONFields` with this room's errors, and the readings that several configurations share.
struct ConfigurationReader {
    let fields: JSONFields
    var subject: String { fields.subject }

    init(_ value: JSONValue, subject: String) throws(InferenceError) {
        fields = try Self.json(try JSONFields(value, subject: subject))
    }

    func has(_ key: String) -> Bool { fields.value(key) != nil }

    func int(_ key: String, in range: ClosedRange<Int>, default fallback: Int) throws(InferenceError) -> Int {
        try Self.json(try fields.int(key, in: range, default: fallback))
    }

    func bool(_ key: String, default fallback: Bool) throws(InferenceError) -> Bool {
        try Self.json(try fields.bool(key, default: fallback))
    }

    /// A number in `range`, whose words are `expected` in the error.
    func double(_ key: String, in range: ClosedRange<Double>, default fallback: Double) throws(InferenceError) -> Double {
        let value = try Self.json(try fields.double(key, default: fallback))
        guard range.contains(value) else {
            throw .inconsistent(subject: "\(subject): \(key)", expected: "a number from \(range.lowerBound) to \(range.upperBound)", found: "\(value)")
        }
        return value
    }

    /// One of the spellings of `values`.
    func choice<Value>(_ key: String, _ values: [(String, Value)], default fallback: String) throws(InferenceError) -> Value {
        try Self.value(of: try Self.json(try fields.string(key, default: fallback)), in: values, subject: "\(subject): \(key)")
    }

    /// One choice per stage, from a list as long as there are stages or from one string for all of them.
    func choices<Value>(_ key: String, _ values: [(String, Value)], stages: Int, default fallback: String) throws(InferenceError) -> [Value] {
        let place = "\(subject): \(key)"
        let texts: [String]
        switch fields.value(key) {
        case nil: texts = Array(repeating: fallback, count: stages)
        case .string(let text): texts = Array(repeating: text, count: stages)
        case .array(let items)? where items.allSatisfy({ $0.string != nil }): texts = items.compactMap(\.string)
        case let other?: throw .inconsistent(subject: place, expected: "a string or an array of strings", found: other.kind)
        }
        guard texts.count == stages else { throw .inconsistent(subject: place, expected: "\(stages) entries, one per stage", found: "\(texts.count)") }
        var result: [Value] = []
        for text in texts { result.append(try Self.value(of: text, in: values, subject: place)) }
        return result
    }

    /// A list of integers, each in `range`.
    func ints(_ key: String, in range: ClosedRange<Int>, default fallback: [Int]) throws(InferenceError) -> [Int] {
        guard let value = fields.value(key) else { return fallback }
        return try Self.ints(value, in: range, subject: "\(subject): \(key)")
    }

    static func ints(_ value: JSONValue, in range: ClosedRange<Int>, subject: String) throws(InferenceError) -> [Int] {
        let expected = "an array of integers from \(range.lowerBound) to \(range.upperBound)"
        guard let items = value.array else { throw .inconsistent(subject: subject, expected: expected, found: value.kind) }
        var result: [Int] = []
        for item in items {
            guard let number = item.integer.flatMap({ Int(exactly: $0) }), range.contains(number) else {
                throw .inconsistent(subject: subject, expected: expected, found: item.kind == "an integer" ? item.text : item.kind)
            }
            result.append(number)
        }
        return result
    }

    /// Refuses a member that is set to anything but null and `neutral`.
    func mustBe(_ key: String, _ neutral: JSONValue, why supported: String) throws(InferenceError) {
        guard let value = fields.value(key), value != neutral, value.double == nil || value.double != neutral.double else { return }
        throw .unsupported(subject: "\(subject): \(key)", found: value.text, supported: supported)
    }

    private static func json<Value>(_ value: @autoclosure () throws(JSONError) -> Value) throws(InferenceError) -> Value {
        do throws(JSONError) { return try value() } catch { throw .source("\(error)") }
    }

    private static func value<Value>(of text: String, in values: [(String, Value)], subject: String) throws(InferenceError) -> Value {
        for (name, value) in values where ExactString(name) == ExactString(text) { return value }
        throw .unsupported(subject: subject, found: "\"\(text)\"", supported: values.map { "\"\($0.0)\"" }.joined(separator: ", "))
    }
}
