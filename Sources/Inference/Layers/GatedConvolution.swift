import Tensors

/// The mix-FFN: 1x1 convolution, SiLU, depthwise 3x3, gate, 1x1 convolution, and in the autoencoder an RMS norm.
///
/// The residual is the caller's. Source: GLUMBConv in diffusers' sana_transformer.py.
struct GatedConvolution: Sendable {
    private let expand: Linear
    private let depthwise: Depthwise
    private let project: Linear
    private let norm: RMSNorm?

    /// - Parameter prefix: packed names below it are `in`, `depth`, `out` and, in the autoencoder, `norm`.
    init(_ loader: WeightLoader, _ prefix: String, channels: Int, hidden: Int, norm: Bool) throws(WeightError) {
        expand = try loader.linear(prefix + "in", 2 * hidden, channels, bias: true)
        depthwise = try loader.depthwise(prefix + "depth", channels: 2 * hidden, kernel: 3, bias: true)
        project = try loader.linear(prefix + "out", channels, hidden, bias: false)
        self.norm = norm ? try loader.norm(prefix + "norm", channels, bias: true, epsilon: 1e-5) : nil
    }

    /// x [h, w, channels] to the same shape.
    func callAsFunction(_ x: Tensor) throws(AllocationError) -> Tensor {
        var hidden = try expand(x)
        Activation.silu.apply(&hidden)
        hidden = try GatedUnit.silu(try depthwise(hidden))
        let result = try project(hidden)
        return try norm?(result) ?? result
    }
}
