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
        package let input: Input
        package let transforms: [RowTransform]
        /// How many rows come out.
        package let rows: Int

        /// - Precondition: every transform is for as many rows as come to it, and for rows as long as these.
        package init(_ name: String, _ shape: Shape, _ transforms: [RowTransform] = []) {
            (input, self.transforms) = (Input(name, shape), transforms)
            rows = transforms.reduce(shape.rows) { rows, transform in
                switch transform {
                case .scale(let factors): precondition(factors.shape == [rows], "\(factors) for \(rows) rows")
                case .add(let additions):
                    for addition in additions { precondition(addition.fits(rows: rows, columns: shape.columns), "\(addition)") }
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
        /// What is added to the rows, in order.
        package var additions: [RowAddition] { transforms.flatMap(\.additions) }
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
    /// Plus what adapters add, one after the other, summed in double and rounded once, to float32.
    case add([RowAddition])
    /// Row r is row `order[r]` of what comes in; rows that are not in it are left out.
    case permute([Int])

    fileprivate var keepsValues: Bool { if case .permute = self { true } else { false } }

    fileprivate var additions: [RowAddition] { if case .add(let additions) = self { additions } else { [] } }

    fileprivate var operands: [Recipe.Input] {
        switch self {
        case .scale(let factors): [factors]
        case .add(let additions): additions.flatMap(\.operands)
        case .permute: []
        }
    }
}

/// What one adapter adds to rows w, those of the checkpoint, or makes of the sum y of what was there: y + d with d = factor * up @ down; with a magnitude m
/// for each row (DoRA, by the rule of PEFT) m / |w + d| * (y + d), with the norm over the whole row.
package struct RowAddition: Sendable, Equatable {
    package let factor: Double
    /// `[rows, rank]`.
    package let up: Recipe.Input
    /// `[rank, columns]`; nil where `up` is what is added, `[rows, columns]`: to a bias.
    package let down: Recipe.Input?
    /// As many elements as there are rows.
    package let magnitude: Recipe.Input?

    package init(factor: Double, up: Recipe.Input, down: Recipe.Input?, magnitude: Recipe.Input? = nil) {
        (self.factor, self.up, self.down, self.magnitude) = (factor, up, down, magnitude)
    }

    /// Whether it can be added to so many rows of this length.
    package func fits(rows: Int, columns: Int) -> Bool {
        up.shape.rows == rows && (down.map { $0.shape.rows == up.shape.columns && $0.shape.columns == columns } ?? (up.shape.columns == columns))
            && (magnitude.map { $0.shape.elementCount == rows } ?? true)
    }

    package var operands: [Recipe.Input] { [up] + [down, magnitude].compactMap { $0 } }
}
