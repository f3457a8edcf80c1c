/// A pattern over names of tensors: `*` stands for any run of bytes, dots included, `?` for one byte, all else for itself.
package struct Glob: Sendable, Equatable {
    package let pattern: String
    private let bytes: [UInt8]

    package init(_ pattern: String) {
        self.pattern = pattern
        bytes = Array(pattern.utf8)
    }

    /// Whether the whole of `name` fits the pattern. Time is at most the product of the two lengths.
    package func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        var position = 0
        var next = 0
        // Where to go on when the rest does not fit: behind the last star, with one byte more given to it.
        var resume: (pattern: Int, name: Int)?
        while next < name.count {
            if position < bytes.count, bytes[position] == UInt8(ascii: "*") {
                position += 1
                resume = (position, next)
            } else if position < bytes.count, bytes[position] == UInt8(ascii: "?") || bytes[position] == name[next] {
                position += 1
                next += 1
            } else if let (pattern, taken) = resume {
                position = pattern
                next = taken + 1
                resume = (pattern, taken + 1)
            } else {
                return false
            }
        }
        return bytes[position...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
