import Tensors

/// The weights of one side of the autoencoder, in the order in which a file has them.
struct AutoencoderRows: Sendable {
    /// The first and the last convolution.
    let first: Parameters
    /// By resolution, the highest first; nil for stages without blocks.
    let stages: [Stage?]
    /// Before the last convolution; the encoder has none.
    let norm: Parameters?
    let last: Parameters
    let rows: [WeightRow]

    struct Stage: Sendable {
        /// The convolution that doubles the map before the decoder's blocks, or halves it after the encoder's; nil for the deepest stage.
        let resampling: Parameters?
        let blocks: [Block]
    }

    enum Block: Sendable {
        case residual(ResidualRows)
        case efficientViT(EfficientViTRows)
    }

    struct ResidualRows: Sendable {
        let first: Parameters
        let second: Parameters
        let norm: Parameters
    }

    struct EfficientViTRows: Sendable {
        let projections: [Parameters]
        let scales: [(depthwise: Parameters, pointwise: Parameters)]
        let output: Parameters
        let norm: Parameters
        let feedForward: GatedConvolutionRows
    }

    /// Expansion of the GLU blocks; fixed in diffusers' EfficientViTBlock.
    static let gluExpansion = 4

    init(encoder c: AutoencoderConfiguration, _ fusions: Fusions) {
        var table = TableBuilder()
        let side = c.encoder
        // Without a stage 0, conv_in is a down-sampling block, whose convolution lies one level deeper in the checkpoint.
        let top = side.topChannels
        first = table.convolution(
            "vae.enc.conv_in", side.hasTopStage ? "encoder.conv_in" : "encoder.conv_in.conv", side.hasTopStage || !c.unshuffles ? top : top / 4,
            c.imageChannels, role: .sensitiveConvolution)
        stages = side.stages.enumerated().map { index, stage in
            guard stage.blocks > 0 else { return nil }
            let (name, source) = ("vae.enc.stage.\(index).", "encoder.down_blocks.\(index).")
            let blocks = (0..<stage.blocks).map { Self.block(name, $0, source + "\($0).", stage, c, fusions, &table) }
            guard index + 1 < side.stages.count else { return Stage(resampling: nil, blocks: blocks) }
            let outputs = side.stages[index + 1].channels
            let down = table.convolution(name + "down", source + "\(stage.blocks).conv", c.unshuffles ? outputs / 4 : outputs, stage.channels)
            return Stage(resampling: down, blocks: blocks)
        }
        norm = nil
        last = table.convolution(
            "vae.enc.conv_out", "encoder.conv_out", c.latentChannels, side.stages[side.stages.count - 1].channels, role: .sensitiveConvolution)
        rows = table.rows
    }

    init(decoder c: AutoencoderConfiguration, _ fusions: Fusions) {
        var table = TableBuilder()
        let side = c.decoder
        first = table.convolution(
            "vae.dec.conv_in", "decoder.conv_in", side.stages[side.stages.count - 1].channels, c.latentChannels, role: .sensitiveConvolution)
        let deepestFirst = side.stages.enumerated().reversed().map { index, stage -> Stage? in
            guard stage.blocks > 0 else { return nil }
            let (name, source) = ("vae.dec.stage.\(index).", "decoder.up_blocks.\(index).")
            let isDeepest = index + 1 == side.stages.count
            let up =
                isDeepest
                ? nil
                : table.convolution(
                    name + "up", source + "0.conv", c.interpolates ? stage.channels : stage.channels * 4, side.stages[index + 1].channels)
            let blocks = (0..<stage.blocks).map { Self.block(name, $0, source + "\(isDeepest ? $0 : $0 + 1).", stage, c, fusions, &table) }
            return Stage(resampling: up, blocks: blocks)
        }
        stages = deepestFirst.reversed()
        let top = side.topChannels
        norm = table.norm("vae.dec.norm", "decoder.norm_out", top, bias: true)
        last = table.convolution(
            "vae.dec.conv_out", side.hasTopStage ? "decoder.conv_out" : "decoder.conv_out.conv",
            side.hasTopStage || c.interpolates ? c.imageChannels : c.imageChannels * 4, top, role: .sensitiveConvolution)
        rows = table.rows
    }

    private static func block(
        _ stageName: String, _ index: Int, _ source: String, _ stage: AutoencoderConfiguration.Stage, _ c: AutoencoderConfiguration, _ fusions: Fusions,
        _ table: inout TableBuilder
    ) -> Block {
        let (name, channels) = ("\(stageName)block.\(SanaSprintWeights.number(index)).", stage.channels)
        switch stage.kind {
        case .residual:
            return .residual(
                ResidualRows(
                    first: table.convolution(name + "conv1", source + "conv1", channels, channels),
                    second: table.convolution(name + "conv2", source + "conv2", channels, channels, bias: false),
                    norm: table.norm(name + "norm", source + "norm", channels, bias: true)))
        case .efficientViT:
            let inner = channels / c.headDimension * c.headDimension
            let hidden = gluExpansion * channels
            return .efficientViT(
                EfficientViTRows(
                    // to_q, to_k and to_v are thirds of rows that lie [q k v] head by head: only their concatenation means anything.
                    projections: table.linears(
                        name + "attn.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil,
                        ["q", "k", "v"].map { .init(name: $0, source: source + "attn.to_\($0)", outputs: inner) }, inputs: channels, role: .convolution,
                        bias: false),
                    scales: stage.scales.enumerated().map { index, kernel in
                        let (scale, origin) = (name + "attn.scale.\(index).", source + "attn.to_qkv_multiscale.\(index).")
                        return (
                            table.depthwise(scale + "depth", origin + "proj_in", 3 * inner, kernel: kernel, bias: false),
                            table.linear(scale + "point", origin + "proj_out", 3 * inner, c.headDimension, role: .groupedConvolution, bias: false, kernel: 1)
                        )
                    },
                    output: table.linear(
                        name + "attn.out", source + "attn.to_out", channels, inner * (1 + stage.scales.count), role: .convolution, bias: false),
                    norm: table.norm(name + "attn.norm", source + "attn.norm_out", channels, bias: true),
                    feedForward: GatedConvolutionRows(
                        input: table.linear(
                            name + "glu.in", source + "conv_out.conv_inverted", 2 * hidden, channels, role: .convolution, bias: true, kernel: 1),
                        depthwise: table.depthwise(name + "glu.depth", source + "conv_out.conv_depth", 2 * hidden, kernel: 3, bias: true),
                        output: table.linear(
                            name + "glu.out", source + "conv_out.conv_point", channels, hidden, role: .gatedLinear, bias: false, kernel: 1),
                        norm: table.norm(name + "glu.norm", source + "conv_out.norm", channels, bias: true))))
        }
    }
}
