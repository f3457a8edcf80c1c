import StrictJSON

/// One object of a `tokenizer.json` with its place in the file, for messages that say what is supported there.
struct TokenizerSection {
    let object: JSONObject
    let subject: String

    init(_ object: JSONObject, _ subject: String) {
        self.object = object
        self.subject = subject
    }

    subscript(_ key: String) -> JSONValue? { object[key] }

    var text: String { JSONValue.object(object).text }

    func allowOnly(_ keys: [String]) throws(InferenceError) {
        for key in object.keys where !keys.contains(key) {
            throw .unsupported(subject: subject, found: "the member \(key.quoted)", supported: keys.joined(separator: ", "))
        }
    }

    /// Checks a member against the values that this runtime has an implementation for; nil stands for null and for an absent member.
    func require(_ key: String, among values: [JSONValue?]) throws(InferenceError) {
        let value = value(key)
        guard !values.contains(value) else { return }
        throw .unsupported(
            subject: "\(subject): \(key)", found: Self.excerpt(value), supported: values.map { $0?.text ?? "null" }.joined(separator: ", "))
    }

    func section(_ key: String) throws(InferenceError) -> TokenizerSection? {
        guard let value = value(key) else { return nil }
        guard let object = value.object else { throw wrong(key, "an object or null") }
        return TokenizerSection(object, "\(subject): \(key)")
    }

    func sections(_ key: String) throws(InferenceError) -> [TokenizerSection] {
        guard let array = value(key)?.array else { throw wrong(key, "an array of objects") }
        var sections: [TokenizerSection] = []
        for (position, element) in array.enumerated() {
            guard let object = element.object else { throw wrong(key, "an array of objects") }
            sections.append(TokenizerSection(object, "\(subject): \(key)[\(position)]"))
        }
        return sections
    }

    func string(_ key: String) throws(InferenceError) -> String {
        guard let string = value(key)?.string else { throw wrong(key, "a string") }
        return string
    }

    func optionalString(_ key: String) throws(InferenceError) -> String? {
        value(key) == nil ? nil : try string(key)
    }

    func bool(_ key: String, default fallback: Bool) throws(InferenceError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let bool = value.bool else { throw wrong(key, "true or false") }
        return bool
    }

    func id(_ key: String) throws(InferenceError) -> Int32 {
        guard let id = value(key).flatMap(Self.id) else { throw wrong(key, "an id from 0 to \(Int32.max)") }
        return id
    }

    func ids(_ key: String) throws(InferenceError) -> [Int32] {
        guard let array = value(key)?.array else { throw wrong(key, "an array of ids") }
        var ids: [Int32] = []
        for element in array {
            guard let id = Self.id(element) else { throw wrong(key, "an array of ids") }
            ids.append(id)
        }
        return ids
    }

    /// The text to look for in `{"pattern": {"String": ...}}`; the other kind of pattern is a regular expression.
    func pattern() throws(InferenceError) -> String {
        guard let pattern = try section("pattern"), let string = pattern["String"]?.string, !string.isEmpty, pattern.object.count == 1 else {
            throw .unsupported(subject: "\(subject): pattern", found: Self.excerpt(value("pattern")), supported: "{\"String\": text}")
        }
        return string
    }

    func wrong(_ key: String, _ expected: String) -> InferenceError {
        .inconsistent(subject: "\(subject): \(key)", expected: expected, found: Self.excerpt(value(key)))
    }

    private func value(_ key: String) -> JSONValue? {
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    private static func id(_ value: JSONValue) -> Int32? {
        value.integer.flatMap { Int32(exactly: $0) }.flatMap { $0 >= 0 ? $0 : nil }
    }

    private static func excerpt(_ value: JSONValue?) -> String {
        guard let value else { return "nothing" }
        let text = value.text
        return text.utf8.count <= 100 ? text : value.kind
    }
}
