import Glibc
import Tensors

/// The operations of the models in double precision, straight from their definitions (sana-sprint formulas; diffusers, transformers).
enum Formulas64 {
    static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
    static func relu(_ x: Double) -> Double { max(x, 0) }
    static func geluTanh(_ x: Double) -> Double { 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }

    static func rmsNorm(_ x: Matrix64, _ weight: [Double], bias: [Double]? = nil, offset: Double = 0, epsilon: Double) -> Matrix64 {
        var result = x
        for row in 0..<x.rows {
            var squares = 0.0
            for column in 0..<x.columns { squares += x[row, column] * x[row, column] }
            let factor = 1 / (squares / Double(x.columns) + epsilon).squareRoot()
            for column in 0..<x.columns { result[row, column] = x[row, column] * factor * (weight[column] + offset) + (bias?[column] ?? 0) }
        }
        return result
    }

    static func modulatedLayerNorm(_ x: Matrix64, scale: [Double], shift: [Double], epsilon: Double) -> Matrix64 {
        var result = x
        for row in 0..<x.rows {
            let mean = (0..<x.columns).reduce(0) { $0 + x[row, $1] } / Double(x.columns)
            let variance = (0..<x.columns).reduce(0) { $0 + (x[row, $1] - mean) * (x[row, $1] - mean) } / Double(x.columns)
            let factor = 1 / (variance + epsilon).squareRoot()
            for column in 0..<x.columns { result[row, column] = (x[row, column] - mean) * factor * (1 + scale[column]) + shift[column] }
        }
        return result
    }

    /// ReLU linear attention of one head, by its quadratic form: another order of the sums than the runtime's.
    static func linearAttention(_ q: Matrix64, _ k: Matrix64, _ v: Matrix64) -> Matrix64 {
        let weights = q.map(relu).times(k.map(relu))
        var result = Matrix64(q.rows, v.columns)
        for row in 0..<q.rows {
            let total = (0..<k.rows).reduce(1e-15) { $0 + weights[row, $1] }
            for column in 0..<v.columns { result[row, column] = (0..<k.rows).reduce(0) { $0 + weights[row, $1] * v[$1, column] } / total }
        }
        return result
    }

    /// Softmax attention of one head.
    static func softmaxAttention(
        _ q: Matrix64, _ k: Matrix64, _ v: Matrix64, scale: Double, softCap: Double? = nil, causal: Bool = false, window: Int? = nil
    ) -> Matrix64 {
        var result = Matrix64(q.rows, v.columns)
        let products = q.times(k)
        for row in 0..<q.rows {
            let visible = (0..<k.rows).filter { !causal || ($0 <= row && row - $0 < window ?? Int.max) }
            let logits = visible.map { column in
                let logit = products[row, column] * scale
                return softCap.map { $0 * tanh(logit / $0) } ?? logit
            }
            let largest = logits.max() ?? 0
            let weights = logits.map { exp($0 - largest) }
            let total = weights.reduce(0, +)
            for column in 0..<v.columns { result[row, column] = zip(visible, weights).reduce(0) { $0 + $1.1 * v[$1.0, column] } / total }
        }
        return result
    }

    /// Heads side by side in columns, each attended to on its own.
    static func heads(_ count: Int, _ dimension: Int, rows: Int, _ body: (_ head: Int, _ columns: Range<Int>) -> Matrix64) -> Matrix64 {
        var result = Matrix64(rows, count * dimension)
        for head in 0..<count { result.put(body(head, head * dimension..<(head + 1) * dimension), at: head * dimension) }
        return result
    }

    /// Depthwise convolution, stride 1, same padding: x is `[height * width, channels]`, the weight `[channels, kernel * kernel]`.
    static func depthwise(_ x: Matrix64, _ weight: Matrix64, bias: [Double]?, height: Int, width: Int) -> Matrix64 {
        let kernel = Int(Double(weight.columns).squareRoot().rounded())
        let half = kernel / 2
        var result = Matrix64(x.rows, x.columns)
        for row in 0..<height {
            for column in 0..<width {
                for channel in 0..<x.columns {
                    var sum = bias?[channel] ?? 0
                    for dy in 0..<kernel {
                        for dx in 0..<kernel where (0..<height).contains(row + dy - half) && (0..<width).contains(column + dx - half) {
                            sum += x[(row + dy - half) * width + column + dx - half, channel] * weight[channel, dy * kernel + dx]
                        }
                    }
                    result[row * width + column, channel] = sum
                }
            }
        }
        return result
    }

    /// Dense 3 x 3 convolution, stride 1, same padding; the weight is `[outputs, 3 * 3 * inputs]`, taps outermost.
    static func convolution(_ x: Matrix64, _ weight: Matrix64, bias: [Double]?, height: Int, width: Int) -> Matrix64 {
        var unfolded = Matrix64(x.rows, 9 * x.columns)
        for row in 0..<height {
            for column in 0..<width {
                for tap in 0..<9 where (0..<height).contains(row + tap / 3 - 1) && (0..<width).contains(column + tap % 3 - 1) {
                    let source = (row + tap / 3 - 1) * width + column + tap % 3 - 1
                    for channel in 0..<x.columns { unfolded[row * width + column, tap * x.columns + channel] = x[source, channel] }
                }
            }
        }
        return unfolded.times(weight, bias: bias)
    }

    /// Turns the halves of a head's channels against each other, row i by the angles of position i.
    static func rotated(_ x: Matrix64, theta: Double) -> Matrix64 {
        var result = x
        let half = x.columns / 2
        for row in 0..<x.rows {
            for index in 0..<half {
                let angle = Double(row) * pow(theta, -2 * Double(index) / Double(x.columns))
                result[row, index] = x[row, index] * cos(angle) - x[row, index + half] * sin(angle)
                result[row, index + half] = x[row, index + half] * cos(angle) + x[row, index] * sin(angle)
            }
        }
        return result
    }

    /// 1x1, SiLU, depthwise 3x3, gate, 1x1: the mix-FFN. `read` gives its weights by their names below the unit.
    static func gatedConvolution(_ x: Matrix64, height: Int, width: Int, _ weights: Weights64) throws -> Matrix64 {
        let expanded = x.times(try weights.matrix("in.weight"), bias: try weights.vector("in.bias")).map(silu)
        let mixed = depthwise(expanded, try weights.matrix("depth.weight"), bias: try weights.vector("depth.bias"), height: height, width: width)
        let hidden = mixed.columns / 2
        let gated = mixed.slice(0..<hidden).combined(mixed.slice(hidden..<2 * hidden)) { $0 * silu($1) }
        return gated.times(try weights.matrix("out.weight"))
    }
}

extension Double {
    static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
    static func cosine(_ angle: Double) -> Double { cos(angle) }
    static func sine(_ angle: Double) -> Double { sin(angle) }
}
