import CKernels
package import Tensors

/// ReLU linear attention, the core of the DiT's self-attention and of the autoencoder's attention:
/// o = V relu(K)^T relu(q) / (sum of relu(K)^T relu(q) + 1e-15), per head.
///
/// Sums over many tokens run in double: at 64 thousand pixels a float32 sum has lost four digits. The autoencoder's quadratic form for maps of up
/// to 32 pixels is the same mathematics and needs no code of its own.
/// Source: diffusers SanaLinearAttnProcessor2_0 and SanaMultiscaleLinearAttention.
package enum LinearAttention {
    /// The widest head that the kernel takes.
    package static let maximumHeadDimension = Int(CK_LINEAR_ATTENTION_MAX_D)

    /// Where the heads' q, k and v lie among the columns of one matrix.
    package struct Layout: Sendable {
        package let heads: Int
        package let headDimension: Int
        package let headStride: Int
        package let keyColumn: Int
        package let valueColumn: Int

        /// All of q, then all of k, then all of v.
        package static func blocks(heads: Int, headDimension: Int) -> Layout {
            let width = heads * headDimension
            return Layout(heads: heads, headDimension: headDimension, headStride: headDimension, keyColumn: width, valueColumn: 2 * width)
        }

        /// q, k and v of the first head, then of the second: the autoencoder's fused rows (sana-sprint's "thirds").
        package static func interleaved(heads: Int, headDimension: Int) -> Layout {
            Layout(heads: heads, headDimension: headDimension, headStride: 3 * headDimension, keyColumn: headDimension, valueColumn: 2 * headDimension)
        }
    }

    /// Of so many rows of q, k and v of `width` each: its result with that of each scale, and a scale's q, k and v through both convolutions.
    static func footprint(_ rows: Int, _ width: Int, _ scales: Int) -> Footprint {
        Footprint(kept: Tensor.byteCount(rows * width * (1 + scales)), passing: scales > 0 ? 2 * Tensor.byteCount(rows * 3 * width) : 0)
    }
}

extension CPU {
    /// Attends over the tokens of `qkv` [tokens, 3 * width], into the columns of `output` from `column` on.
    /// - Parameter maps: so many maps of equally many tokens lie one below the other, each of which attends to itself.
    package func linearAttention(_ qkv: Tensor, _ layout: LinearAttention.Layout, into output: inout Tensor, column: Int = 0, maps: Int = 1) {
        let width = layout.heads * layout.headDimension
        precondition(qkv.columns == 3 * width && output.rows == qkv.rows && column + width <= output.columns)
        precondition(qkv.rows % maps == 0)
        let (tokens, stride, outputStride) = (qkv.rows / maps, qkv.columns, output.columns)
        let (source, target) = unsafe (SharedPointer(reading: qkv.pointer), SharedPointer(output.mutablePointer + column))
        Parallel.forEach(maps * layout.heads) { range in
            for item in range {
                let (map, head) = (item / layout.heads, item % layout.heads)
                let queries = unsafe source.pointer + map * tokens * stride
                let done = unsafe ck_linear_attention(
                    isa,
                    ck_linear_heads(
                        q: queries, k: queries + layout.keyColumn, v: queries + layout.valueColumn, ld: stride,
                        out: target.pointer + map * tokens * outputStride, ldo: outputStride, t: tokens, d: layout.headDimension,
                        head_stride: layout.headStride, h0: head, h1: head + 1, relu: true, eps: 1e-15))
                precondition(done, "head dimensions are bounded by the configuration")
            }
        }
    }
}
