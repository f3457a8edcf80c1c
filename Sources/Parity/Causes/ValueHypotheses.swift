import Tensors

/// Mistakes that leave every element in its place: lost, scaled, shifted in value, rounded, cut off.
enum ValueHypotheses {
    typealias Hypothesis = @Sendable (TensorPair) -> Cause?

    /// In the order in which they are tried; what is simpler comes first.
    static let all: [Hypothesis] = [byteOrder, nonfinite, dropped, signFlipped, scaled, clipped, offset, rowsScaled, columnsScaled, roundedTwice]

    /// The largest finite number of float16.
    static let halfLimit: Float = 65504

    @Sendable static func nonfinite(_ pair: TensorPair) -> Cause? {
        let (left, right) = (pair.expected.span, pair.found.span)
        var (infinite, nans, beyond) = (0, 0, 0)
        var first: Int?
        for index in left.indices where left[index].isFinite && !right[index].isFinite {
            if right[index].isNaN { nans += 1 } else { infinite += 1 }
            if left[index].magnitude > halfLimit { beyond += 1 }
            first = first ?? index
        }
        guard let first else { return nil }
        let place = "the first at element \(first), expected \(left[first])"
        if infinite > 0 && (beyond > 0 || nans == 0) {
            return Cause(
                .overflow,
                "half precision overflow: \(infinite) elements are infinite" + (beyond > 0 ? ", \(beyond) of them beyond float16's 65504, " : ", ") + place)
        }
        return Cause(.nonfinite, "\(nans) elements are no numbers, \(place)")
    }

    @Sendable static func dropped(_ pair: TensorPair) -> Cause? {
        let right = pair.found.span
        guard right.indices.allSatisfy({ right[$0] == 0 }) else { return droppedRows(pair) }
        return Cause(.dropped, "all of it is zero: it was dropped", residual: 0)
    }

    /// Rows at the end, or anywhere, that are zero while all others are right.
    private static func droppedRows(_ pair: TensorPair) -> Cause? {
        let rows = pair.differingRows()
        let (right, columns) = (pair.found.span, pair.columns)
        guard !rows.isEmpty, rows.allSatisfy({ row in (row * columns..<(row + 1) * columns).allSatisfy { right[$0] == 0 } }) else { return nil }
        let isTail = rows.last == pair.rows - 1 && rows.count == pair.rows - rows[0]
        return Cause(.dropped, "\(rows.count) of \(pair.rows) rows are zero, from row \(rows[0]) on" + (isTail ? ": the end was cut off" : ""), residual: 0)
    }

    @Sendable static func signFlipped(_ pair: TensorPair) -> Cause? {
        pair.residual { $0[$1] * -1 }.map { Cause(.signFlipped, "every sign is turned", residual: $0) }
    }

    @Sendable static func scaled(_ pair: TensorPair) -> Cause? {
        let factor = Self.factor(pair, 0..<pair.expected.count)
        guard factor.isFinite, factor != 0, abs(factor - 1) > 4 * pair.roundedTolerance else { return nil }
        return pair.residual(room: pair.roundedTolerance) { Float(factor * Double($0[$1])) }.map {
            Cause(.scaled, "all of it is \(text(factor)) times what it should be", residual: $0)
        }
    }

    @Sendable static func clipped(_ pair: TensorPair) -> Cause? {
        let right = pair.found.span
        let limit = right.indices.reduce(0 as Float) { max($0, right[$1].magnitude) }
        let left = pair.expected.span
        let beyond = left.indices.count { left[$0].magnitude > limit * 1.001 }
        guard limit > 0, beyond > 0, let residual = pair.residual({ min(max($0[$1], -limit), limit) }) else { return nil }
        let isHalf = limit == halfLimit
        return Cause(
            isHalf ? .overflow : .clipped, "\(isHalf ? "half precision overflow: " : "")\(beyond) elements are cut off at \(limit)", residual: residual)
    }

    @Sendable static func offset(_ pair: TensorPair) -> Cause? {
        let (left, right) = (pair.expected.span, pair.found.span)
        let sum = left.indices.reduce(0.0) { $0 + Double(right[$1]) - Double(left[$1]) }
        let constant = sum / Double(max(1, pair.expected.count))
        // What is added on purpose is a small whole number: Gemma's norms, whose weight is stored less 1.
        let nearest = constant.rounded()
        guard nearest != 0, abs(constant - nearest) < 0.02 else { return nil }
        return pair.residual(room: pair.roundedTolerance) { $0[$1] + Float(nearest) }.map {
            Cause(.offset, "\(text(nearest)) was added to every element", residual: $0)
        }
    }

    @Sendable static func rowsScaled(_ pair: TensorPair) -> Cause? {
        let rows = pair.differingRows()
        guard pair.columns > 1, !rows.isEmpty else { return nil }
        var factors = [Float](repeating: 1, count: pair.rows)
        for row in rows { factors[row] = Float(factor(pair, row * pair.columns..<(row + 1) * pair.columns)) }
        let columns = pair.columns
        guard factors.allSatisfy(\.isFinite), let residual = pair.residual(room: pair.roundedTolerance, { factors[$1 / columns] * $0[$1] }) else { return nil }
        return Cause(
            .rowsScaled,
            "\(rows.count) of \(pair.rows) channels have a wrong scale: channel \(rows[0]) is \(text(Double(factors[rows[0]]))) times what it should be",
            residual: residual)
    }

    @Sendable static func columnsScaled(_ pair: TensorPair) -> Cause? {
        guard pair.rows > 1, pair.columns > 1 else { return nil }
        let (left, right) = (pair.expected.span, pair.found.span)
        var (products, squares) = ([Double](repeating: 0, count: pair.columns), [Double](repeating: 0, count: pair.columns))
        let columns = pair.columns
        for index in left.indices {
            products[index % columns] += Double(left[index]) * Double(right[index])
            squares[index % columns] += Double(left[index]) * Double(left[index])
        }
        let factors = zip(products, squares).map { $1 == 0 ? 1 : Float($0 / $1) }
        guard factors.allSatisfy(\.isFinite), let residual = pair.residual(room: pair.roundedTolerance, { factors[$1 % columns] * $0[$1] }) else { return nil }
        let wrong = factors.indices.filter { abs(factors[$0] - 1) > Float(4 * pair.tolerance) }
        guard let first = wrong.first else { return nil }
        let words = "\(wrong.count) of \(columns) columns have a wrong scale: column \(first) is \(text(Double(factors[first]))) times what it should be"
        return Cause(.columnsScaled, words, residual: residual)
    }

    @Sendable static func byteOrder(_ pair: TensorPair) -> Cause? {
        let swap: (Float) -> Float
        switch pair.stored {
        case .f16: swap = { Float(Float16(bitPattern: Float16($0).bitPattern.byteSwapped)) }
        case .bf16: swap = { Float(bitPattern: UInt32(UInt16($0.bitPattern >> 16).byteSwapped) << 16) }
        case .f32: swap = { Float(bitPattern: $0.bitPattern.byteSwapped) }
        default: return nil
        }
        let (left, right) = (pair.expected.span, pair.found.span)
        // Swapped bytes make any number, infinite ones too, which a distance cannot judge: they are equal or not.
        guard left.indices.allSatisfy({ swap(left[$0]).bitPattern == right[$0].bitPattern || swap(left[$0]) == right[$0] }) else { return nil }
        return Cause(.byteOrder, "the bytes of every element are in the other order", residual: 0)
    }

    @Sendable static func roundedTwice(_ pair: TensorPair) -> Cause? {
        let roundings: [(String, (Float) -> Float)] = [
            ("bfloat16", { Float(bitPattern: ($0.bitPattern &+ 0x7FFF &+ ($0.bitPattern >> 16 & 1)) & 0xFFFF_0000) }),
            ("float16", { Float(Float16($0)) }),
            ("bfloat16, cut off instead of rounded,", { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) }),
            ("8-bit floats (e4m3)", { e4m3($0) }),
        ]
        // The sum of such differences is a few thousandths: what has to agree is every element.
        let (left, right) = (pair.expected.span, pair.found.span)
        for (name, rounding) in roundings where left.indices.allSatisfy({ rounding(left[$0]) == right[$0] }) {
            return Cause(.roundedTwice, "the values went through \(name) on their way", residual: 0)
        }
        return nil
    }

    private static func e4m3(_ value: Float) -> Float {
        guard value != 0, value.isFinite else { return value }
        let step = Float(sign: .plus, exponent: max(Int(value.exponent), -6) - 3, significand: 1)
        return min(max((value / step).rounded(.toNearestOrEven) * step, -448), 448)
    }

    /// The factor that brings a range of the expected elements closest to those found.
    static func factor(_ pair: TensorPair, _ range: Range<Int>) -> Double {
        let (left, right) = (pair.expected.span, pair.found.span)
        var (product, square) = (0.0, 0.0)
        for index in range {
            product += Double(left[index]) * Double(right[index])
            square += Double(left[index]) * Double(left[index])
        }
        return square == 0 ? 1 : product / square
    }

    static func text(_ value: Double) -> String { abs(value - value.rounded()) < 1e-6 * abs(value) ? "\(Int(value.rounded()))" : Decimal.short(value) }
}
