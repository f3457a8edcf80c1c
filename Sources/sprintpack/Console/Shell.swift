/// Command lines as one can type them again.
enum Shell {
    static func command(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }

    /// An option and its value, or nothing.
    static func option(_ name: String, _ value: String?) -> [String] { value.map { [name, $0] } ?? [] }

    /// A word in single quotes where the shell would read it otherwise than it stands.
    static func quoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "_-./:=,+@%".utf8.contains(byte)
        }
        return plain && !word.isEmpty ? word : "'\(word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
    }
}
