import Glibc
package import Tensors

/// Rotary position embedding in the rotate-half form: channels i and i + d/2 of a head turn by position * theta ** (-2i / d).
package struct Rotary {
    private let cosines: [Float]
    private let sines: [Float]
    private let headDimension: Int

    /// The angles of positions `first ..< first + tokens`, computed in double.
    package init(first: Int = 0, tokens: Int, headDimension: Int, theta: Double) {
        let half = headDimension / 2
        var (cosines, sines) = ([Float](), [Float]())
        for position in first..<first + tokens {
            for index in 0..<half {
                let angle = Double(position) * pow(theta, -2 * Double(index) / Double(headDimension))
                cosines.append(Float(cos(angle)))
                sines.append(Float(sin(angle)))
            }
        }
        (self.cosines, self.sines, self.headDimension) = (cosines, sines, headDimension)
    }

    /// Turns `heads` heads that lie in the columns of `x` from `column` on; row i is position first + i.
    package func apply(_ x: inout Tensor, column: Int, heads: Int) {
        let (half, stride) = (headDimension / 2, x.columns)
        let elements = unsafe SharedPointer(x.mutablePointer + column)
        Parallel.forEach(x.rows) { range in
            for row in range {
                for head in 0..<heads {
                    let first = unsafe elements.pointer + row * stride + head * headDimension
                    for index in 0..<half {
                        let (cosine, sine) = (Double(cosines[row * half + index]), Double(sines[row * half + index]))
                        let (a, b) = unsafe (Double(first[index]), Double(first[index + half]))
                        unsafe first[index] = Float(a * cosine - b * sine)
                        unsafe first[index + half] = Float(b * cosine + a * sine)
                    }
                }
            }
        }
    }
}
