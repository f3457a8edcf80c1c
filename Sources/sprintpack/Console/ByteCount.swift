import Parity

/// Sizes as people write and read them: 512M, 1GiB, 3.2 GB.
enum ByteCount {
    /// Decimal units with three significant digits.
    static func text(_ count: UInt64) -> String {
        var value = Double(count)
        var units = ["B", "kB", "MB", "GB", "TB"][...]
        while value >= 999.5, units.count > 1 {
            value /= 1000
            units = units.dropFirst()
        }
        let unit = units.first ?? "B"
        return unit == "B" ? "\(count) B" : "\(Decimal.fixed(value, digits: value < 9.995 ? 2 : value < 99.95 ? 1 : 0)) \(unit)"
    }

    /// Reads 1500000, 512M, 1GiB, 1.5GB; K, M, G and T alone are powers of 1024, as are KiB and so on. Nil where it is no size.
    static func parse(_ text: String) -> Int? {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(number.count).lowercased()
        let factors: [String: Double] = [
            "": 1, "b": 1, "k": 1024, "kib": 1024, "kb": 1e3, "m": 1_048_576, "mib": 1_048_576, "mb": 1e6,
            "g": 1_073_741_824, "gib": 1_073_741_824, "gb": 1e9, "t": 1_099_511_627_776, "tib": 1_099_511_627_776, "tb": 1e12,
        ]
        guard let value = Double(String(number)), let factor = factors[unit], value > 0, value * factor < 1e18 else { return nil }
        return Int(value * factor)
    }
}
