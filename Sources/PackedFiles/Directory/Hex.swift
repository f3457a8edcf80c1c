import Files

extension Hex {
    static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    /// The number that exactly 16 lower-case digits write; nil for any other text.
    static func value(_ text: String) -> UInt64? {
        text.utf8.count == 16 && text.utf8.allSatisfy(isDigit) ? UInt64(text, radix: 16) : nil
    }

    /// The bytes that an even number of digits write.
    /// - Precondition: the text is one of ours.
    static func bytes(_ digits: String) -> [UInt8] {
        let values = digits.utf8.map { digit in digit <= UInt8(ascii: "9") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10 }
        return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }
}
