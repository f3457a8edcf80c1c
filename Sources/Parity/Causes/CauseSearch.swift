package import Tensors

/// Tries one mistake after the other on the expected values, until one gives the values found.
package enum CauseSearch {
    /// Another tensor that the one found may be.
    package struct Candidate {
        let name: String
        let load: () throws -> Tensor?

        package init(_ name: String, _ load: @escaping () throws -> Tensor?) { (self.name, self.load) = (name, load) }
    }

    /// The cause of a difference, or what else can be said about it; nil where there is no difference.
    ///
    /// - Parameter others: tensors of the same shape, nearest first, of which the one found may be one.
    package static func run(_ pair: TensorPair, others: [Candidate] = []) throws -> Cause? {
        guard pair.distance != 0 else { return nil }
        if let cause = try whole(pair) { return cause }
        if let cause = try byParts(pair) { return cause }
        for other in others {
            guard let tensor = try other.load(), tensor.count == pair.expected.count else { continue }
            let replaced = TensorPair(expected: tensor, found: pair.found, tolerance: pair.tolerance, stored: pair.stored)
            guard replaced.distance <= pair.tolerance else { continue }
            return Cause(.wrongTensor, "it is \(other.name)", residual: replaced.distance)
        }
        return few(pair)
    }

    private static func whole(_ pair: TensorPair) throws -> Cause? {
        for hypothesis in ValueHypotheses.all { if let cause = hypothesis(pair) { return cause } }
        if let cause = PlaceHypotheses.axes(pair) { return cause }
        if let cause = RowMatching.rows(pair) { return cause }
        if let cause = try RowMatching.columns(pair) { return cause }
        return PlaceHypotheses.tiles(pair)
    }

    /// A fused weight of which some parts are right: the search goes on inside the others.
    private static func byParts(_ pair: TensorPair) throws -> Cause? {
        guard pair.parts.count > 1 else { return nil }
        for index in pair.parts.indices {
            let part = try pair.part(index)
            guard part.distance > pair.tolerance, let cause = try whole(part) else { continue }
            return Cause(cause.kind, "\(pair.parts[index].name): \(cause.text)", residual: cause.residual)
        }
        return nil
    }

    /// Few elements that differ, each named by its place; nil where they are many.
    private static func few(_ pair: TensorPair) -> Cause? {
        let (left, right) = (pair.expected.span, pair.found.span)
        var (count, first) = (0, -1)
        for index in left.indices where left[index].bitPattern != right[index].bitPattern {
            if count == 0 { first = index }
            count += 1
        }
        guard count > 0, count <= max(1, pair.expected.count / 50) else { return nil }
        return Cause(.fewElements, "\(count) of \(pair.expected.count) elements differ: element \(first) is \(right[first]) instead of \(left[first])")
    }
}
