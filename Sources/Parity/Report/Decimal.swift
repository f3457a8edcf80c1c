internal import Glibc

/// Numbers as text for reports, the same on every machine.
package enum Decimal {
    /// Three significant digits: "0.123", "1.23e-06"; words for what is not finite.
    package static func short(_ value: Double) -> String { format("%.3g", value) }

    /// A fixed number of digits behind the point.
    package static func fixed(_ value: Double, digits: Int) -> String { format("%.\(digits)f", value) }

    private static func format(_ pattern: String, _ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "not a number" : value > 0 ? "infinite" : "-infinite" }
        var text = [CChar](repeating: 0, count: 400)
        let length = unsafe withVaList([value]) { unsafe vsnprintf(&text, text.count, pattern, $0) }
        return String(decoding: text.prefix(max(0, min(Int(length), text.count - 1))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
