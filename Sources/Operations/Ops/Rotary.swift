import Glibc
package import Tensors

/// Rotary position embedding in the rotate-half form: channels i and i + d/2 of a head turn by position * theta ** (-2i / d).
package enum Rotary {
    /// The cosines, then the sines, of positions `first ..< first + tokens`, computed in double: `[tokens, headDimension]`.
    package static func table(first: Int = 0, tokens: Int, headDimension: Int, theta: Double) throws(MachineError) -> Tensor {
        let half = headDimension / 2
        var values: [Float] = []
        for position in first..<first + tokens {
            let angles = (0..<half).map { Double(position) * pow(theta, -2 * Double($0) / Double(headDimension)) }
            values += angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
        }
        return try Tensor([tokens, 2 * half], values)
    }

    /// Turns `heads` heads that lie in the columns of `x` from `column` on, each row by its row of the table.
    package static func apply(_ table: Tensor, to x: inout Tensor, column: Int, heads: Int) {
        let (headDimension, stride) = (table.columns, x.columns)
        let half = headDimension / 2
        precondition(table.rows == x.rows)
        let angles = unsafe SharedPointer(reading: table.pointer)
        let elements = unsafe SharedPointer(x.mutablePointer + column)
        Parallel.forEach(x.rows) { range in
            for row in range {
                let cosines = unsafe angles.pointer + row * headDimension
                for head in 0..<heads {
                    let first = unsafe elements.pointer + row * stride + head * headDimension
                    for index in 0..<half {
                        let (cosine, sine) = unsafe (Double(cosines[index]), Double(cosines[half + index]))
                        let (a, b) = unsafe (Double(first[index]), Double(first[index + half]))
                        unsafe first[index] = Float(a * cosine - b * sine)
                        unsafe first[index + half] = Float(b * cosine + a * sine)
                    }
                }
            }
        }
    }
}
