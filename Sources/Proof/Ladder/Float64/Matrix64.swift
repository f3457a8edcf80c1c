import Tensors

/// A matrix in double precision: what the reference formulas of the ladder compute with. Plain loops, nothing shared with the runtime.
struct Matrix64 {
    let rows: Int
    let columns: Int
    var values: [Double]

    init(_ rows: Int, _ columns: Int) { (self.rows, self.columns, values) = (rows, columns, [Double](repeating: 0, count: rows * columns)) }

    init(_ tensor: Tensor) {
        (rows, columns) = (tensor.rows, tensor.columns)
        values = tensor.elements.map(Double.init)
    }

    subscript(_ row: Int, _ column: Int) -> Double {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    func map(_ formula: (Double) -> Double) -> Matrix64 {
        var result = self
        for index in values.indices { result.values[index] = formula(values[index]) }
        return result
    }

    func combined(_ other: Matrix64, _ formula: (Double, Double) -> Double) -> Matrix64 {
        var result = self
        for index in values.indices { result.values[index] = formula(values[index], other.values[index]) }
        return result
    }

    func plus(_ other: Matrix64) -> Matrix64 { combined(other, +) }

    func slice(_ range: Range<Int>) -> Matrix64 {
        var result = Matrix64(rows, range.count)
        for row in 0..<rows { for column in range { result[row, column - range.lowerBound] = self[row, column] } }
        return result
    }

    mutating func put(_ other: Matrix64, at column: Int) {
        for row in 0..<rows { for index in 0..<other.columns { self[row, column + index] = other[row, index] } }
    }

    /// self W^T + b, for W of `outputs` rows.
    func times(_ weight: Matrix64, bias: [Double]? = nil) -> Matrix64 {
        var result = Matrix64(rows, weight.rows)
        for row in 0..<rows {
            for output in 0..<weight.rows {
                var sum = bias?[output] ?? 0
                let (left, right) = (row * columns, output * columns)
                for index in 0..<columns { sum += values[left + index] * weight.values[right + index] }
                result.values[row * weight.rows + output] = sum
            }
        }
        return result
    }
}
