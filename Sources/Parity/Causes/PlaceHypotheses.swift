import Tensors

/// Mistakes that keep the values and move them: transposed, mirrored, layouts and groupings confused, tiles exchanged.
enum PlaceHypotheses {
    /// Tried on the elements of the tensor by its own axes.
    static func axes(_ pair: TensorPair) -> Cause? {
        let extents = pair.shape.extents
        guard extents.count >= 2, extents.count <= 4 else { return nil }
        for order in permutations(extents.count) where order != Array(0..<extents.count) {
            let map = AxisMap(extents: extents, order: order)
            guard let residual = pair.residual({ $0[map.source(of: $1)] }) else { continue }
            if extents.filter({ $0 > 1 }).count == 2 { return Cause(.transposed, "it is transposed", residual: residual) }
            if extents.count == 3, order == [0, 2, 1] { return Cause(.transposed, "its height and width are exchanged", residual: residual) }
            let names = order.map { "\($0)" }.joined(separator: ", ")
            return Cause(.layoutPermuted, "its axes \(pair.shape) lie in the order \(names): another layout", residual: residual)
        }
        for axis in extents.indices where extents[axis] > 1 {
            let inner = extents[(axis + 1)...].reduce(1, *)
            let extent = extents[axis]
            if let residual = pair.residual({ values, place in values[place + (extent - 1 - 2 * (place / inner % extent)) * inner] }) {
                return Cause(.mirrored, "axis \(axis) of \(pair.shape) runs backwards", residual: residual)
            }
        }
        guard extents.count == 4 else { return nil }
        // A kernel turned by half a turn: a convolution where the model has a correlation.
        let (height, width, inputs) = (extents[1], extents[2], extents[3])
        let turned = pair.residual { values, place in
            let (channel, column, row) = (place % inputs, place / inputs % width, place / inputs / width % height)
            let output = place / inputs / width / height
            return values[((output * height + height - 1 - row) * width + width - 1 - column) * inputs + channel]
        }
        return turned.map { Cause(.mirrored, "its kernels are turned by half a turn: a convolution instead of a correlation", residual: $0) }
    }

    /// Tiles of the sizes that kernels pack weights in, exchanged among one another.
    static func tiles(_ pair: TensorPair) -> Cause? {
        for (height, width) in [(16, 32), (32, 32), (16, 16), (8, 32), (64, 32), (16, 64), (8, 8)] {
            guard pair.rows % height == 0, pair.columns % width == 0, pair.rows * pair.columns > height * width else { continue }
            let across = pair.columns / width
            func sums(_ tensor: Tensor) -> [Double] {
                var result = [Double](repeating: 0, count: pair.rows / height * across)
                let (values, columns) = (tensor.span, pair.columns)
                for index in values.indices {
                    let (row, column) = (index / columns, index % columns)
                    result[row / height * across + column / width] += Double(values[index]) * RowMatching.weight(row % height * width + column % width)
                }
                return result
            }
            guard let order = RowMatching.permutation(expected: sums(pair.expected), found: sums(pair.found), tolerance: pair.tolerance) else { continue }
            let columns = pair.columns
            let residual = pair.residual { values, place in
                let (row, column) = (place / columns, place % columns)
                let tile = order[row / height * across + column / width]
                return values[(tile / across * height + row % height) * columns + tile % across * width + column % width]
            }
            guard let residual else { continue }
            let moved = order.indices.count { order[$0] != $0 }
            return Cause(.tilesPermuted, "\(moved) of \(order.count) tiles of \(height) x \(width) lie in each other's places", residual: residual)
        }
        return nil
    }

    static func permutations(_ count: Int) -> [[Int]] {
        guard count > 1 else { return [Array(0..<count)] }
        return permutations(count - 1).flatMap { rest in (0...rest.count).map { place in Array(rest[..<place]) + [count - 1] + Array(rest[place...]) } }
    }
}

/// Where an element lies once the axes of its tensor are written in another order.
struct AxisMap {
    private let extents: [Int]
    private let strides: [Int]

    /// - Parameter order: the axes of the source, outermost of the result first.
    init(extents: [Int], order: [Int]) {
        var sources = [Int](repeating: 1, count: extents.count)
        for axis in extents.indices.dropLast().reversed() { sources[axis] = sources[axis + 1] * extents[axis + 1] }
        self.extents = order.map { extents[$0] }
        strides = order.map { sources[$0] }
    }

    /// The place in the source of the result's element `place`.
    func source(of place: Int) -> Int {
        var (rest, result) = (place, 0)
        for axis in extents.indices.reversed() {
            result += rest % extents[axis] * strides[axis]
            rest /= extents[axis]
        }
        return result
    }
}
