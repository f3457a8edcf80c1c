import Operations
import Tensors

/// norm(conv2(activation(conv1(x)))) + x, as one operation on rows. Source: ResBlock in diffusers' autoencoder_dc.py.
enum ResidualBlock {
    static func operation(_ loader: WeightLoader, _ rows: AutoencoderRows.ResidualRows, _ activation: Activation) throws(WeightError) -> RowOperation {
        .residual(
            first: try loader.convolution(rows.first, often: true), activation: activation, second: try loader.convolution(rows.second, often: true),
            norm: try loader.norm(rows.norm, epsilon: AutoencoderConfiguration.normEpsilon))
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

    init(_ loader: WeightLoader, _ rows: AutoencoderRows.EfficientViTRows, headDimension: Int) throws(WeightError) {
        executor = loader.executor
        self.headDimension = headDimension
        heads = rows.norm.weight.shape.rows / headDimension
        projections = try loader.group(rows.projections)
        scales = try rows.scales.map { (scale) throws(WeightError) in
            (try loader.depthwise(scale.depthwise), GroupedPointwise(try loader.tensor(scale.pointwise.weight)))
        }
        output = try loader.linear(rows.output)
        norm = try loader.norm(rows.norm, epsilon: AutoencoderConfiguration.normEpsilon)
        feedForward = try loader.gatedConvolution(rows.feedForward)
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
