import Operations
import Tensors

/// norm(conv2(activation(conv1(x)))) + x, as one operation on rows. Source: ResBlock in diffusers' autoencoder_dc.py.
enum ResidualBlock {
    static func operation(_ loader: WeightLoader, _ name: String, _ stage: AutoencoderConfiguration.Stage) throws(WeightError) -> RowOperation {
        .residual(
            first: try loader.convolution(name + "conv1", stage.channels, stage.channels, often: true), activation: stage.activation,
            second: try loader.convolution(name + "conv2", stage.channels, stage.channels, bias: false, often: true),
            norm: try loader.norm(name + "norm", stage.channels, bias: true, epsilon: AutoencoderConfiguration.normEpsilon))
    }
}

/// Multi-scale linear attention and a mix-FFN with their residuals, on channels-last maps `[h, w, channels]`.
///
/// Source: EfficientViTBlock in diffusers' autoencoder_dc.py, SanaMultiscaleLinearAttention in attention_processor.py.
struct EfficientViTBlock: Sendable {
    private let executor: CPU
    private let projections: LinearGroup
    private let scales: [(depthwise: Depthwise, pointwise: GroupedPointwise)]
    private let output: Linear
    private let norm: RMSNorm
    private let feedForward: GatedConvolution
    private let heads: Int
    private let headDimension: Int

    init(_ loader: WeightLoader, _ name: String, _ stage: AutoencoderConfiguration.Stage, headDimension: Int) throws(WeightError) {
        executor = loader.executor
        let channels = stage.channels
        let heads = channels / headDimension
        let inner = heads * headDimension
        (self.heads, self.headDimension) = (heads, headDimension)
        projections = try loader.group(
            name + "attn.", fused: loader.source.fusions.contains(.queryKeyValue) ? "qkv" : nil, [("q", inner), ("k", inner), ("v", inner)], inputs: channels,
            bias: false)
        var scales: [(Depthwise, GroupedPointwise)] = []
        for (index, kernel) in stage.scales.enumerated() {
            let depthwise = try loader.depthwise(name + "attn.scale.\(index).depth", channels: 3 * inner, kernel: kernel, bias: false)
            let pointwise = GroupedPointwise(try loader.tensor(name + "attn.scale.\(index).point.weight", [3 * inner, headDimension]))
            scales.append((depthwise, pointwise))
        }
        self.scales = scales
        output = try loader.linear(name + "attn.out", channels, inner * (1 + stage.scales.count), bias: false)
        norm = try loader.norm(name + "attn.norm", channels, bias: true, epsilon: AutoencoderConfiguration.normEpsilon)
        feedForward = try loader.gatedConvolution(name + "glu.", channels: channels, hidden: SanaSprintWeights.gluExpansion * channels, norm: true)
    }

    func apply(_ x: inout Tensor) throws(AllocationError) {
        executor.add(try attention(x), to: &x)
        executor.add(try feedForward(x), to: &x)
    }

    private func attention(_ x: Tensor) throws(AllocationError) -> Tensor {
        let (height, width) = (x.shape[0], x.shape[1])
        let inner = heads * headDimension
        let layout = LinearAttention.Layout.interleaved(heads: heads, headDimension: headDimension)
        let projected = try projections(x.reshaped([height * width, x.shape[2]]))
        var attended = try Tensor([height * width, inner * (1 + scales.count)], zeroed: false)
        executor.linearAttention(projected, layout, into: &attended)
        for (index, scale) in scales.enumerated() {
            let mixed = try scale.pointwise(try scale.depthwise(projected.reshaped([height, width, 3 * inner])))
            executor.linearAttention(mixed.reshaped([height * width, 3 * inner]), layout, into: &attended, column: (1 + index) * inner)
        }
        return try norm(try output(attended)).reshaped(x.shape)
    }
}

extension AutoencoderConfiguration {
    /// Epsilon of all its norms; fixed in diffusers.
    static let normEpsilon = 1e-5
}
