/// The tokens that are cut out of a text before anything else sees it, found from left to right, the longest first.
struct TokenTrie: Sendable {
    enum Part: Equatable {
        case text(ArraySlice<UInt8>)
        case token(Int32)
    }

    /// From a node and a byte to the next node; the root is node 0.
    private var edges: [UInt64: UInt32] = [:]
    private var tokens: [UInt32: Int32] = [:]
    private var nodeCount: UInt32 = 1

    /// Adds a token; the later of two with the same bytes stays.
    mutating func insert(_ content: [UInt8], id: Int32) {
        var node: UInt32 = 0
        for byte in content {
            let edge = Self.edge(node, byte)
            if let next = edges[edge] {
                node = next
            } else {
                edges[edge] = nodeCount
                node = nodeCount
                nodeCount += 1
            }
        }
        tokens[node] = id
    }

    /// The parts of a text in their order; texts are not empty.
    func split(_ bytes: ArraySlice<UInt8>) -> [Part] {
        guard !tokens.isEmpty else { return bytes.isEmpty ? [] : [.text(bytes)] }
        var parts: [Part] = []
        var start = bytes.startIndex
        var position = start
        while position < bytes.endIndex {
            guard let match = longestMatch(bytes, at: position) else {
                position += 1
                continue
            }
            if start < position { parts.append(.text(bytes[start..<position])) }
            parts.append(.token(match.id))
            position = match.end
            start = match.end
        }
        if start < bytes.endIndex { parts.append(.text(bytes[start...])) }
        return parts
    }

    /// Whether there is a token that begins with `bytes` and goes on.
    func hasLonger(than bytes: ArraySlice<UInt8>) -> Bool {
        var node: UInt32 = 0
        for byte in bytes {
            guard let next = edges[Self.edge(node, byte)] else { return false }
            node = next
        }
        return (0...UInt8.max).contains { edges[Self.edge(node, $0)] != nil }
    }

    private func longestMatch(_ bytes: ArraySlice<UInt8>, at start: Int) -> (id: Int32, end: Int)? {
        var best: (id: Int32, end: Int)?
        var node: UInt32 = 0
        for position in start..<bytes.endIndex {
            guard let next = edges[Self.edge(node, bytes[position])] else { break }
            node = next
            if let id = tokens[node] { best = (id, position + 1) }
        }
        return best
    }

    private static func edge(_ node: UInt32, _ byte: UInt8) -> UInt64 { UInt64(node) << 8 | UInt64(byte) }
}
