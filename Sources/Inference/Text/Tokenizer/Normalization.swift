/// Replacements that a text goes through, one after the other, before it is cut into pieces: Gemma's only one is " " by "▁".
struct Normalization: Sendable, Equatable {
    struct Replacement: Sendable, Equatable {
        /// Not empty.
        let pattern: [UInt8]
        let content: [UInt8]
    }

    var replacements: [Replacement] = []

    /// Whether every character is replaced by itself, so that what stands behind a text does not change how that begins.
    var isByCharacter: Bool { replacements.allSatisfy { $0.pattern.dropFirst().allSatisfy { $0 & 0xC0 == 0x80 } } }

    func callAsFunction(_ text: ArraySlice<UInt8>) -> [UInt8] {
        replacements.reduce(Array(text), Self.apply)
    }

    private static func apply(_ text: [UInt8], _ replacement: Replacement) -> [UInt8] {
        let pattern = replacement.pattern
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            if text[position] == pattern[0], text[position...].starts(with: pattern) {
                result.append(contentsOf: replacement.content)
                position += pattern.count
            } else {
                result.append(text[position])
                position += 1
            }
        }
        return result
    }
}
