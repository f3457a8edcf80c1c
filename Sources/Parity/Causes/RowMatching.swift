import Tensors

/// Finds which row of the expected tensor each row found is, and says in words what became of their order.
struct RowMatching {
    let order: [Int]
    /// "rows" or "columns".
    let unit: String

    /// A weight for each place of a row, without a pattern, so that no two rows that matter have one sum.
    static func weight(_ place: Int) -> Double {
        var bits = UInt64(truncatingIfNeeded: place) &* 0x9E37_79B9_7F4A_7C15 &+ 0xD1B5_4A32_D192_ED03
        bits = (bits ^ (bits >> 31)) &* 0x94D0_49BB_1331_11EB
        return Double(bits >> 11) * 0x1p-53 - 0.5
    }

    /// The order in which the expected sums lie among those found; nil unless it is a permutation other than none.
    static func permutation(expected: [Double], found: [Double], tolerance: Double) -> [Int]? {
        let sorted = expected.indices.sorted { expected[$0] < expected[$1] }
        let scale = (expected.reduce(0) { $0 + $1 * $1 } / Double(max(1, expected.count))).squareRoot()
        let room = max(tolerance, 1e-9) * 2 * scale
        var taken = [Bool](repeating: false, count: expected.count)
        var order = [Int](repeating: -1, count: found.count)
        // What is in its place stays there, so that equal rows are not taken for exchanged ones.
        for index in found.indices where abs(expected[index] - found[index]) <= room {
            order[index] = index
            taken[index] = true
        }
        for index in found.indices where order[index] < 0 {
            var (low, high) = (0, sorted.count)
            while low < high {
                let middle = (low + high) / 2
                if expected[sorted[middle]] < found[index] - room { low = middle + 1 } else { high = middle }
            }
            var best: (index: Int, gap: Double)?
            while low < sorted.count, expected[sorted[low]] <= found[index] + room {
                let (candidate, gap) = (sorted[low], abs(expected[sorted[low]] - found[index]))
                if !taken[candidate], best.map({ gap < $0.gap }) ?? true { best = (candidate, gap) }
                low += 1
            }
            guard let best else { return nil }
            order[index] = best.index
            taken[best.index] = true
        }
        return order == Array(order.indices) ? nil : order
    }

    private static func sums(_ tensor: Tensor) -> [Double] {
        let (values, columns) = (tensor.span, tensor.columns)
        return (0..<tensor.rows).map { row in (0..<columns).reduce(0) { $0 + Double(values[row * columns + $1]) * weight($1) } }
    }

    /// Rows in another order.
    static func rows(_ pair: TensorPair) -> Cause? {
        guard pair.rows > 1 else { return nil }
        let columns = pair.columns
        // Single numbers repeat too often to be told apart: only orders that a mistake makes are tried.
        if columns < 4 { return orders(pair.rows, pair.parts).lazy.compactMap { test(pair, $0, "rows") { $1[$2 / columns] * columns + $2 % columns } }.first }
        return matched(sums(pair.expected), sums(pair.found), pair.tolerance).lazy.compactMap { order in
            test(pair, order, "rows") { $1[$2 / columns] * columns + $2 % columns }
        }.first
    }

    /// Rows that were moved and nothing else agree to the last bit; where they were rounded anew, only as closely as rounding lets them.
    private static func matched(_ expected: [Double], _ found: [Double], _ tolerance: Double) -> [[Int]] {
        [0, tolerance].compactMap { permutation(expected: expected, found: found, tolerance: $0) }
    }

    /// Columns in another order.
    static func columns(_ pair: TensorPair) throws(MachineError) -> Cause? {
        guard pair.columns > 1, pair.rows >= 4 else { return nil }
        let (expected, found) = (try pair.expected.transposed(), try pair.found.transposed())
        let columns = pair.columns
        return matched(sums(expected), sums(found), pair.tolerance).lazy.compactMap { order in
            test(pair, order, "columns") { $2 / columns * columns + $1[$2 % columns] }
        }.first
    }

    private static func test(_ pair: TensorPair, _ order: [Int], _ unit: String, _ place: (TensorPair, [Int], Int) -> Int) -> Cause? {
        guard let residual = pair.residual({ $0[place(pair, order, $1)] }) else { return nil }
        return RowMatching(order: order, unit: unit).cause(parts: unit == "rows" ? pair.parts : [], residual: residual)
    }

    /// Orders that mistakes make, for rows too short to be recognized one by one.
    private static func orders(_ count: Int, _ parts: [TensorPair.Part]) -> [[Int]] {
        var result: [[Int]] = []
        for step in [1, -1, 2, -2] where count > 2 { result.append((0..<count).map { (($0 + step) % count + count) % count }) }
        if count % 2 == 0 { result.append((0..<count).map { ($0 + count / 2) % count }) }
        for (first, second) in pairs(parts) { result.append(swapped(count, first.rows, second.rows)) }
        result.append((0..<count).reversed())
        for (groups, length) in groupings(count) { result.append(regrouped(count, groups: groups, length: length)) }
        return result
    }

    private static func pairs(_ parts: [TensorPair.Part]) -> [(TensorPair.Part, TensorPair.Part)] {
        parts.indices.flatMap { first in
            parts.indices.filter { $0 > first && parts[$0].rows.count == parts[first].rows.count }.map { (parts[first], parts[$0]) }
        }
    }

    private static func swapped(_ count: Int, _ first: Range<Int>, _ second: Range<Int>) -> [Int] {
        var order = Array(0..<count)
        for (left, right) in zip(first, second) { order.swapAt(left, right) }
        return order
    }

    /// Pairs (groups, length): `count` rows are `groups` groups of runs of `length` rows.
    private static func groupings(_ count: Int) -> [(Int, Int)] {
        let divisors = (1...max(1, min(count, 4096))).filter { count % $0 == 0 }
        return divisors.flatMap { length in divisors.filter { $0 > 1 && count / length % $0 == 0 && count / length > $0 }.map { ($0, length) } }
    }

    /// [groups, n, length] read as [n, groups, length].
    private static func regrouped(_ count: Int, groups: Int, length: Int) -> [Int] {
        let other = count / length / groups
        return (0..<count).map { index in
            let (run, place) = (index / length, index % length)
            return (run % groups * other + run / groups) * length + place
        }
    }

    /// The order in words.
    private func cause(parts: [TensorPair.Part], residual: Double) -> Cause {
        let count = order.count
        let moved = order.indices.filter { order[$0] != $0 }
        for (first, second) in Self.pairs(parts) where order == Self.swapped(count, first.rows, second.rows) {
            return Cause(.partsSwapped, "\(first.name) and \(second.name) are in each other's place", residual: residual)
        }
        let step = ((order[0] % count) + count) % count
        if step != 0, order.indices.allSatisfy({ order[$0] == ($0 + step) % count }) {
            let signed = step > count / 2 ? step - count : step
            if count == 2 * step {
                return Cause(unit == "rows" ? .rowsPermuted : .columnsPermuted, "the two halves of the \(unit) are exchanged", residual: residual)
            }
            return Cause(.shifted, "the \(unit) are off by \(signed)", residual: residual)
        }
        if moved.count > 2, count <= 1 << 16 {
            for (groups, length) in Self.groupings(count) where Self.regrouped(count, groups: groups, length: length)[count / 2] == order[count / 2] {
                guard Self.regrouped(count, groups: groups, length: length) == order else { continue }
                let other = count / length / groups
                let runs = length > 1 ? " of \(length)" : ""
                return Cause(.regrouped, "the \(unit) are grouped as \(other) x \(groups) runs\(runs) instead of \(groups) x \(other)", residual: residual)
            }
        }
        if order == Array((0..<count).reversed()) { return Cause(.mirrored, "the \(unit) run backwards", residual: residual) }
        let words = "\(moved.count) of \(count) \(unit) are in another order: at \(moved[0]) is \(order[moved[0]])"
        return Cause(unit == "rows" ? .rowsPermuted : .columnsPermuted, words, residual: residual)
    }
}
