/// Where the bytes of a command line become a prompt.
package enum PromptText {
    /// The text that the bytes hold, nothing repaired.
    /// - Throws: `TextError.notUTF8` with the offset of the first byte that is no part of a character.
    package static func decode(_ bytes: [UInt8]) throws(TextError) -> String {
        do throws(UTF8.ValidationError) {
            return String(copying: try UTF8Span(validating: bytes.span))
        } catch {
            throw .notUTF8(offset: error.byteOffsets.lowerBound)
        }
    }
}
