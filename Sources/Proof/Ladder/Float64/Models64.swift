import Inference
import Operations
import PackedFiles
import Tensors

/// Weights by their packed names, in double precision; below a prefix.
struct Weights64 {
    let source: any WeightSource
    var prefix = ""

    func under(_ name: String) -> Weights64 { Weights64(source: source, prefix: prefix + name) }

    func tensor(_ name: String) throws -> Tensor {
        let stored = try source.weight(prefix + name)
        guard !stored.scheme.isQuantized else { throw InferenceError.unreadable(name: prefix + name, reason: "expected a weight in floating point") }
        return try stored.widened()
    }

    func matrix(_ name: String) throws -> Matrix64 { Matrix64(try tensor(name)) }
    func vector(_ name: String) throws -> [Double] { try tensor(name).elements.map(Double.init) }
    func optionalVector(_ name: String) throws -> [Double]? { source.contains(prefix + name) ? try vector(name) : nil }
}

/// One layer of each model in double precision, of weights without fusions: another program than the runtime, for the same formulas.
enum Models64 {
    /// A block of the transformer on tokens `[height * width, width]`.
    static func block(
        _ index: Int, _ x: Matrix64, modulation: [Double], caption: Matrix64, height: Int, width: Int, _ c: TransformerConfiguration, _ source: any WeightSource
    ) throws -> Matrix64 {
        let w = Weights64(source: source, prefix: "dit.blocks.\(index < 10 ? "0" : "")\(index).")
        let table = try w.vector("table")
        let rows = (0..<6).map { row in (0..<c.width).map { table[row * c.width + $0] + modulation[row * c.width + $0] } }
        var x = x
        func gate(_ y: Matrix64, _ row: Int) -> Matrix64 {
            var result = y
            for token in 0..<y.rows { for column in 0..<y.columns { result[token, column] *= rows[row][column] } }
            return result
        }

        let attention = w.under("self.")
        let normed = Formulas64.modulatedLayerNorm(x, scale: rows[1], shift: rows[0], epsilon: c.normEpsilon)
        var (q, k) = (try projected(normed, "q", attention), try projected(normed, "k", attention))
        let v = try projected(normed, "v", attention)
        if c.queryKeyNorm {
            q = Formulas64.rmsNorm(q, try attention.vector("q_norm.weight"), epsilon: 1e-5)
            k = Formulas64.rmsNorm(k, try attention.vector("k_norm.weight"), epsilon: 1e-5)
        }
        let attended = Formulas64.heads(c.heads, c.headDimension, rows: x.rows) { _, columns in
            Formulas64.linearAttention(q.slice(columns), k.slice(columns), v.slice(columns))
        }
        x = x.plus(gate(attended.times(try attention.matrix("out.weight"), bias: try attention.vector("out.bias")), 2))

        let cross = w.under("cross.")
        var (cq, ck) = (try projected(x, "q", cross), try projected(caption, "k", cross))
        let cv = try projected(caption, "v", cross)
        if c.queryKeyNorm {
            cq = Formulas64.rmsNorm(cq, try cross.vector("q_norm.weight"), epsilon: 1e-5)
            ck = Formulas64.rmsNorm(ck, try cross.vector("k_norm.weight"), epsilon: 1e-5)
        }
        let crossed = Formulas64.heads(c.crossHeads, c.crossHeadDimension, rows: x.rows) { _, columns in
            Formulas64.softmaxAttention(cq.slice(columns), ck.slice(columns), cv.slice(columns), scale: 1 / Double(c.crossHeadDimension).squareRoot())
        }
        x = x.plus(crossed.times(try cross.matrix("out.weight"), bias: try cross.vector("out.bias")))

        let second = Formulas64.modulatedLayerNorm(x, scale: rows[4], shift: rows[3], epsilon: c.normEpsilon)
        return x.plus(gate(try Formulas64.gatedConvolution(second, height: height, width: width, w.under("ff.")), 5))
    }

    /// A layer of Gemma-2 on the hidden states of tokens.
    static func textLayer(_ index: Int, _ x: Matrix64, _ c: TextEncoderConfiguration, _ source: any WeightSource) throws -> Matrix64 {
        let w = Weights64(source: source, prefix: "text.layers.\(index < 10 ? "0" : "")\(index).")
        func norm(_ x: Matrix64, _ name: String) throws -> Matrix64 {
            Formulas64.rmsNorm(x, try w.vector(name + ".weight"), offset: 1, epsilon: c.normEpsilon)
        }
        let attention = w.under("self.")
        let normed = try norm(x, "self.pre_norm")
        let (q, k, v) = (try projected(normed, "q", attention), try projected(normed, "k", attention), try projected(normed, "v", attention))
        let members = c.heads / c.keyValueHeads
        let attended = Formulas64.heads(c.heads, c.headDimension, rows: x.rows) { head, columns in
            let shared = head / members * c.headDimension..<(head / members + 1) * c.headDimension
            return Formulas64.softmaxAttention(
                Formulas64.rotated(q.slice(columns), theta: c.ropeTheta), Formulas64.rotated(k.slice(shared), theta: c.ropeTheta), v.slice(shared),
                scale: c.attentionScale, softCap: c.softCap, causal: true, window: c.windows[index])
        }
        var result = x.plus(try norm(try projected(attended, "out", attention), "self.post_norm"))
        let second = try norm(result, "mlp.pre_norm")
        let mlp = w.under("mlp.")
        let gated = try projected(second, "gate", mlp).combined(try projected(second, "up", mlp)) { Formulas64.geluTanh($0) * $1 }
        result = result.plus(try norm(try projected(gated, "down", mlp), "mlp.post_norm"))
        return result
    }

    /// A stage of the autoencoder's decoder on a map `[height * width, channels]`, without the doubling of the stages that have one.
    static func decoderBlocks(_ index: Int, _ x: Matrix64, height: Int, width: Int, _ c: AutoencoderConfiguration, _ source: any WeightSource) throws
        -> Matrix64
    {
        let stage = c.decoder.stages[index]
        var x = x
        for block in 0..<stage.blocks {
            let w = Weights64(source: source, prefix: "vae.dec.stage.\(index).block.\(block < 10 ? "0" : "")\(block).")
            switch stage.kind {
            case .residual:
                let first = Formulas64.convolution(x, try w.matrix("conv1.weight"), bias: try w.vector("conv1.bias"), height: height, width: width)
                    .map(stage.activation == .relu ? Formulas64.relu : Formulas64.silu)
                let second = Formulas64.convolution(first, try w.matrix("conv2.weight"), bias: nil, height: height, width: width)
                x = x.plus(Formulas64.rmsNorm(second, try w.vector("norm.weight"), bias: try w.vector("norm.bias"), epsilon: 1e-5))
            case .efficientViT:
                x = x.plus(try multiscaleAttention(x, height: height, width: width, stage, c.headDimension, w.under("attn.")))
                let mixed = try Formulas64.gatedConvolution(x, height: height, width: width, w.under("glu."))
                x = x.plus(Formulas64.rmsNorm(mixed, try w.vector("glu.norm.weight"), bias: try w.vector("glu.norm.bias"), epsilon: 1e-5))
            }
        }
        return x
    }

    private static func multiscaleAttention(
        _ x: Matrix64, height: Int, width: Int, _ stage: AutoencoderConfiguration.Stage, _ dimension: Int, _ w: Weights64
    ) throws -> Matrix64 {
        let heads = stage.channels / dimension
        let inner = heads * dimension
        var all = Matrix64(x.rows, 3 * inner)
        for (part, name) in ["q", "k", "v"].enumerated() { all.put(try projected(x, name, w), at: part * inner) }
        var branches = [all]
        for scale in stage.scales.indices {
            let mixed = Formulas64.depthwise(all, try w.matrix("scale.\(scale).depth.weight"), bias: nil, height: height, width: width)
            let point = try w.matrix("scale.\(scale).point.weight")
            var grouped = Matrix64(x.rows, 3 * inner)
            for group in 0..<3 * heads {
                var weight = Matrix64(dimension, dimension)
                for row in 0..<dimension { for column in 0..<dimension { weight[row, column] = point[group * dimension + row, column] } }
                grouped.put(mixed.slice(group * dimension..<(group + 1) * dimension).times(weight), at: group * dimension)
            }
            branches.append(grouped)
        }
        var attended = Matrix64(x.rows, inner * branches.count)
        for (branch, columns) in branches.enumerated() {
            for head in 0..<heads {
                // Head by head: q, k and v of the first, then of the second.
                let start = head * 3 * dimension
                let result = Formulas64.linearAttention(
                    columns.slice(start..<start + dimension), columns.slice(start + dimension..<start + 2 * dimension),
                    columns.slice(start + 2 * dimension..<start + 3 * dimension))
                attended.put(result, at: branch * inner + head * dimension)
            }
        }
        let output = attended.times(try w.matrix("out.weight"))
        return Formulas64.rmsNorm(output, try w.vector("norm.weight"), bias: try w.vector("norm.bias"), epsilon: 1e-5)
    }

    private static func projected(_ x: Matrix64, _ name: String, _ w: Weights64) throws -> Matrix64 {
        x.times(try w.matrix(name + ".weight"), bias: try w.optionalVector(name + ".bias"))
    }
}
