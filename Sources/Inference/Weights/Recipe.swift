package import Tensors

/// How a packed weight comes from tensors of a checkpoint: what a conversion carries out, and what a proof goes by.
package enum Recipe: Sendable, Equatable {
    /// The rows of the sources, one source after the other.
    case rows([Source])
    /// Computed from whole tensors.
    case computed(by: Computation, from: [Input])

    package enum Computation: Sendable { case scheduleEmbedding, scheduleModulation }

    /// A tensor that is read.
    package struct Input: Sendable, Equatable {
        /// Name in the component's state dict, for instance "transformer_blocks.7.attn1.to_q.weight".
        package let name: String
        package let shape: Shape

        package init(_ name: String, _ shape: Shape) { (self.name, self.shape) = (name, shape) }
    }

    /// A tensor whose rows a weight is made of, and what becomes of them, one transform after the other.
    package struct Source: Sendable, Equatable {
        let input: Input
        package let transforms: [RowTransform]
        /// How many rows come out.
        package let rows: Int

        /// - Precondition: every transform is for as many rows as come to it, and for rows as long as these.
        package init(_ name: String, _ shape: Shape, _ transforms: [RowTransform] = []) {
            (input, self.transforms) = (Input(name, shape), transforms)
            rows = transforms.reduce(shape.rows) { rows, transform in
                switch transform {
                case .scale(let factors): precondition(factors.shape == [rows], "\(factors) for \(rows) rows")
                case .add(_, let up, let down):
                    precondition(up.shape.rows == rows && down.shape.rows == up.shape.columns && down.shape.columns == shape.columns, "\(up), \(down)")
                case .permute(let order):
                    precondition(order.allSatisfy((0..<rows).contains), "no order of \(rows) rows")
                    return order.count
                }
                return rows
            }
        }

        package var name: String { input.name }
        /// Whether the rows have the values that are stored, wherever they stand.
        package var keepsValues: Bool { transforms.allSatisfy(\.keepsValues) }
        /// Whether the rows stand where they are stored.
        package var keepsOrder: Bool { !transforms.contains { if case .permute = $0 { true } else { false } } }
        /// The first tensor that multiplies the rows, as packed files record it.
        package var rowScale: String? { transforms.lazy.compactMap { if case .scale(let factors) = $0 { factors.name } else { nil } }.first }
    }

    /// What is read from beginning to end: sources or what a computation is of, in order.
    package var main: [Input] {
        switch self {
        case .rows(let sources): sources.map(\.input)
        case .computed(_, let inputs): inputs
        }
    }

    /// What the transforms of rows read, each tensor once.
    package var operands: [Input] {
        guard case .rows(let sources) = self else { return [] }
        return sources.flatMap(\.transforms).flatMap(\.operands).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

/// What is done to the rows of a matrix; a row depends on no other but by its place.
package enum RowTransform: Sendable, Equatable {
    /// Row r times element r of a vector, in float32: a norm's weight folded into the linear before it.
    case scale(by: Recipe.Input)
    /// Plus factor * up @ down, `[rows, rank]` and `[rank, columns]`, summed in double and rounded once, to float32: an adapter.
    case add(factor: Double, up: Recipe.Input, down: Recipe.Input)
    /// Row r is row `order[r]` of what comes in; rows that are not in it are left out.
    case permute([Int])

    fileprivate var keepsValues: Bool { if case .permute = self { true } else { false } }

    fileprivate var operands: [Recipe.Input] {
        switch self {
        case .scale(let factors): [factors]
        case .add(_, let up, let down): [up, down]
        case .permute: []
        }
    }
}
