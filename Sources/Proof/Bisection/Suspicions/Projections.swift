import Inference
import Parity

/// Projections of one input, in one fused weight or in one for each.
struct Projections {
    let prefix: String
    let fused: String
    let parts: [(name: String, rows: Int)]
    let isFused: Bool

    /// The weight that holds a part, and the part's rows in it.
    func place(_ index: Int) -> (weight: String, rows: Range<Int>) {
        guard isFused else { return ("\(prefix)\(parts[index].name)", 0..<parts[index].rows) }
        let start = parts[..<index].reduce(0) { $0 + $1.rows }
        return ("\(prefix)\(fused)", start..<start + parts[index].rows)
    }

    /// Each two parts of equal size in each other's place.
    func swaps(bias: Bool) -> [Suspicion] {
        parts.indices.flatMap { first in
            parts.indices.filter { $0 > first && parts[$0].rows == parts[first].rows }.map { second in
                let text = "\(parts[first].name) and \(parts[second].name) of \(prefix.dropLast()) are in each other's place"
                let (left, right) = (place(first), place(second))
                guard isFused else {
                    var suspicion = Suspicion(.partsSwapped, text)
                    suspicion.replacements = [(left.weight + ".", right.weight + "."), (right.weight + ".", left.weight + ".")]
                    return suspicion
                }
                let order = WeightEdit.rows { row, _ in
                    left.rows.contains(row)
                        ? row - left.rows.lowerBound + right.rows.lowerBound
                        : right.rows.contains(row) ? row - right.rows.lowerBound + left.rows.lowerBound : row
                }
                var edits = [left.weight + ".weight": order]
                if bias { edits[left.weight + ".bias"] = order }
                return Suspicion(.partsSwapped, text, edits: edits)
            }
        }
    }

    /// Each part, where it is a square, transposed.
    func transposes(inputs: Int) -> [Suspicion] {
        parts.indices.filter { parts[$0].rows == inputs }.map { index in
            let (weight, rows) = place(index)
            return Suspicion(.transposed, "\(prefix)\(parts[index].name) is transposed", edits: [weight + ".weight": WeightEdit.transposed(rows)])
        }
    }

    /// Each part's bias left out, and all of them.
    func missingBiases() -> [Suspicion] {
        parts.indices.map { index in
            let (weight, rows) = place(index)
            return Suspicion(.biasMissing, "the bias of \(prefix)\(parts[index].name) is missing", edits: [weight + ".bias": WeightEdit.zeroed(rows)])
        } + (isFused ? [Suspicion(.biasMissing, "the bias of \(prefix)\(fused) is missing", edits: ["\(prefix)\(fused).bias": WeightEdit.zero])] : [])
    }

    /// Edits that put the rows of every part in another order.
    func reordered(_ order: @escaping @Sendable (_ part: Int, _ row: Int, _ rows: Int) -> Int) -> [String: Suspicion.Edit] {
        var edits: [String: Suspicion.Edit] = [:]
        if isFused {
            let places = parts.indices.map { place($0).rows }
            edits["\(prefix)\(fused).weight"] = WeightEdit.rows { row, _ in
                guard let part = places.firstIndex(where: { $0.contains(row) }) else { return row }
                return places[part].lowerBound + order(part, row - places[part].lowerBound, places[part].count)
            }
        } else {
            for index in parts.indices { edits["\(prefix)\(parts[index].name).weight"] = WeightEdit.rows { row, rows in order(index, row, rows) } }
        }
        return edits
    }
}
