/// The members of a JSON object: unique keys, compared by bytes, in the order in which they were written.
package struct JSONObject: Sendable, Equatable {
    package private(set) var members: [(key: String, value: JSONValue)]
    /// Positions by key, kept once a search through the members would take longer than hashing.
    private var index: [ExactString: Int]
    private static let smallCount = 8

    package init() {
        members = []
        index = [:]
    }

    /// - Precondition: keys are unique.
    package init(_ members: [(String, JSONValue)]) {
        self.init()
        for (key, value) in members {
            let isNew = append(key, value)
            precondition(isNew, "duplicate key \(key)")
        }
    }

    /// Adds a member; false, and no change, when the key is there already.
    package mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        guard position(of: key) == nil else { return false }
        members.append((key, value))
        if members.count > Self.smallCount {
            if index.isEmpty { rebuildIndex() } else { index[ExactString(key)] = members.count - 1 }
        }
        return true
    }

    private func position(of key: String) -> Int? {
        let name = ExactString(key)
        return index.isEmpty ? members.firstIndex { ExactString($0.key) == name } : index[name]
    }

    private mutating func rebuildIndex() {
        index = [:]
        guard members.count > Self.smallCount else { return }
        for (position, member) in members.enumerated() { index[ExactString(member.key)] = position }
    }

    package subscript(_ key: String) -> JSONValue? {
        get { position(of: key).map { members[$0].value } }
        set {
            if let position = position(of: key) {
                if let newValue {
                    members[position].value = newValue
                } else {
                    members.remove(at: position)
                    rebuildIndex()
                }
            } else if let newValue {
                _ = append(key, newValue)
            }
        }
    }

    package var keys: [String] { members.map(\.key) }
    package var count: Int { members.count }

    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.members.allSatisfy { right[$0.key] == $0.value }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// - Precondition: keys are unique.
    package init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
