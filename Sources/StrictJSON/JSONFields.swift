/// Typed access to the members of one JSON object, with errors that name the file and the member.
package struct JSONFields: Sendable {
    /// Where the object comes from, for messages: "transformer/config.json".
    package let subject: String
    package let object: JSONObject

    package init(_ value: JSONValue, subject: String) throws(JSONError) {
        guard let object = value.object else { throw .field(subject: subject, expected: "an object", found: value.kind) }
        self.object = object
        self.subject = subject
    }

    /// The member, or nil where it is absent or null.
    package func value(_ key: String) -> JSONValue? {
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    package func string(_ key: String, default fallback: String? = nil) throws(JSONError) -> String {
        try required(key, "a string", fallback) { $0.string }
    }

    package func bool(_ key: String, default fallback: Bool? = nil) throws(JSONError) -> Bool {
        try required(key, "true or false", fallback) { $0.bool }
    }

    package func double(_ key: String, default fallback: Double? = nil) throws(JSONError) -> Double {
        try required(key, "a number", fallback) { $0.double }
    }

    /// An integer inside `range`; sizes that come from a file are bounded here, once.
    package func int(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws(JSONError) -> Int {
        try required(key, "an integer from \(range.lowerBound) to \(range.upperBound)", fallback) {
            $0.integer.flatMap { Int(exactly: $0) }.flatMap { range.contains($0) ? $0 : nil }
        }
    }

    package func array(_ key: String, default fallback: [JSONValue]? = nil) throws(JSONError) -> [JSONValue] {
        try required(key, "an array", fallback) { $0.array }
    }

    package func fields(_ key: String) throws(JSONError) -> JSONFields {
        try JSONFields(.object(try required(key, "an object", nil) { $0.object }), subject: "\(subject): \(key)")
    }

    /// The value of `key` by `read`; `fallback` where the member is absent or null.
    private func required<T>(_ key: String, _ expected: String, _ fallback: T?, _ read: (JSONValue) -> T?) throws(JSONError) -> T {
        guard let value = value(key) else {
            guard let fallback else { throw .field(subject: "\(subject): \(key)", expected: expected, found: object[key] == nil ? "nothing" : "null") }
            return fallback
        }
        guard let result = read(value) else {
            throw .field(subject: "\(subject): \(key)", expected: expected, found: Self.excerpt(value))
        }
        return result
    }

    private static func excerpt(_ value: JSONValue) -> String {
        let text = value.text
        return text.utf8.count <= 60 ? text : value.kind
    }
}
