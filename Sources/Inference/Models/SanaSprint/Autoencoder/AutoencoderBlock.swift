import Operations
import Tensors

/// norm(conv2(activation(conv1(x)))) + x, as one operation on rows. Source: ResBlock in diffusers' autoencoder_dc.py.
enum ResidualBlock {
    static func operation<E: Executor>(
        _ loader: WeightLoader<E>, _ rows: AutoencoderRows.ResidualRows, _ activation: Activation
    ) throws(InferenceError) -> RowOperation<E> {
        .residual(
            first: try loader.convolution(rows.first, often: true), activation: activation, second: try loader.convolution(rows.second, often: true),
            norm: try loader.norm(rows.norm, epsilon: AutoencoderConfiguration.normEpsilon))
    }
}

/// Multi-scale linear attention and a mix-FFN with their residuals, on channels-last maps `[h, w, channels]`.
///
/// Source: EfficientViTBlock in diffusers' autoencoder_dc.py, SanaMultiscaleLinearAttention in attention_processor.py.
struct EfficientViTBlock<E: Executor>: Sendable {
    private let executor: E
    private let projections: [E.Linear]
    private let scales: [(E.Depthwise, E.Pointwise)]
    private let output: E.Linear
    private let norm: E.Norm
    private let feedForward: GatedConvolution<E>
    private let layout: LinearAttention.Layout

    init(_ loader: WeightLoader<E>, _ rows: AutoencoderRows.EfficientViTRows, headDimension: Int) throws(InferenceError) {
        executor = loader.executor
        layout = .interleaved(heads: rows.norm.weight.shape.rows / headDimension, headDimension: headDimension)
        projections = try loader.group(rows.projections)
        scales = try rows.scales.map { (scale) throws(InferenceError) in
            (try loader.depthwise(scale.depthwise), try loader.pointwise(scale.pointwise))
        }
        output = try loader.linear(rows.output)
        norm = try loader.norm(rows.norm, epsilon: AutoencoderConfiguration.normEpsilon)
        feedForward = try loader.gatedConvolution(rows.feedForward)
    }

    func apply(_ x: inout E.Rows) throws(MachineError) {
        try executor.add(try executor.multiply(try attended(x), by: output), normedBy: norm, to: &x)
        try executor.update(&x, by: feedForward, norm: nil, gate: nil, grid: nil)
    }

    /// What `apply` takes beside a map of so many pixels: q, k and v with the attention that is made of them; that, the output and its norm; or the
    /// feed-forward.
    static func workingBytes(_ rows: AutoencoderRows.EfficientViTRows, _ sizes: WeightSizes<E>, headDimension: Int, pixels: Int) -> Int {
        let projected = sizes.product(pixels, rows.projections)
        let width = rows.projections.reduce(0) { $0 + $1.weight.shape.rows } / 3
        let attended = sizes.executor.footprint(of: .linearAttention(rows: pixels, width: width, headDimension: headDimension, scales: rows.scales.count))
        let output = sizes.product(pixels, [rows.output])
        return max(
            projected.peak, projected.kept + attended.peak, attended.kept + max(output.peak, 2 * output.kept),
            sizes.updatingBytes(pixels, rows.feedForward, normed: false))
    }

    private func attended(_ x: E.Rows) throws(MachineError) -> E.Rows {
        var projected = try executor.multiply(x, by: projections, norm: nil, then: nil)
        return try executor.linearAttention(&projected, layout, queryNorm: nil, keyNorm: nil, scales: scales, maps: 1)
    }
}

extension Executor {
    /// The map `[h, w, c]` of an image `[c, h, w]`, and back.
    func map(_ image: Tensor) throws(MachineError) -> Rows { try rows(from: try ImageLayout.channelsLast(image)) }
    func image(_ map: Rows) throws(MachineError) -> Tensor { try ImageLayout.channelsFirst(try tensor(from: map)) }
}

extension AutoencoderConfiguration {
    /// Epsilon of all its norms; fixed in diffusers.
    static let normEpsilon = 1e-5
}
