import Tensors

extension SanaSprintWeights {
    /// Expansion of the autoencoder's GLU blocks; fixed in diffusers' EfficientViTBlock.
    static let gluExpansion = 4

    static func encoder(_ c: AutoencoderConfiguration, _ fusions: Fusions) -> [WeightRow] {
        var table = TableBuilder()
        let side = c.encoder
        // Without a stage 0, conv_in is a down-sampling block, whose convolution lies one level deeper in the checkpoint.
        let top = side.topChannels
        table.convolution(
            "vae.enc.conv_in", side.hasTopStage ? "encoder.conv_in" : "encoder.conv_in.conv", side.hasTopStage || !c.unshuffles ? top : top / 4,
            c.imageChannels, role: .sensitiveConvolution)
        for (index, stage) in side.stages.enumerated() where stage.blocks > 0 {
            let (name, source) = ("vae.enc.stage.\(index).", "encoder.down_blocks.\(index).")
            for block in 0..<stage.blocks { self.block(name + "block.\(number(block)).", source + "\(block).", stage, c, fusions, &table) }
            if index + 1 < side.stages.count {
                let outputs = side.stages[index + 1].channels
                table.convolution(name + "down", source + "\(stage.blocks).conv", c.unshuffles ? outputs / 4 : outputs, stage.channels)
            }
        }
        table.convolution(
            "vae.enc.conv_out", "encoder.conv_out", c.latentChannels, side.stages[side.stages.count - 1].channels, role: .sensitiveConvolution)
        return table.rows
    }

    static func decoder(_ c: AutoencoderConfiguration, _ fusions: Fusions) -> [WeightRow] {
        var table = TableBuilder()
        let side = c.decoder
        table.convolution("vae.dec.conv_in", "decoder.conv_in", side.stages[side.stages.count - 1].channels, c.latentChannels, role: .sensitiveConvolution)
        for (index, stage) in side.stages.enumerated().reversed() where stage.blocks > 0 {
            let (name, source) = ("vae.dec.stage.\(index).", "decoder.up_blocks.\(index).")
            let isDeepest = index + 1 == side.stages.count
            if !isDeepest {
                table.convolution(name + "up", source + "0.conv", c.interpolates ? stage.channels : stage.channels * 4, side.stages[index + 1].channels)
            }
            for block in 0..<stage.blocks {
                self.block(name + "block.\(number(block)).", source + "\(isDeepest ? block : block + 1).", stage, c, fusions, &table)
            }
        }
        let top = side.topChannels
        table.norm("vae.dec.norm", "decoder.norm_out", top, bias: true)
        table.convolution(
            "vae.dec.conv_out", side.hasTopStage ? "decoder.conv_out" : "decoder.conv_out.conv",
            side.hasTopStage || c.interpolates ? c.imageChannels : c.imageChannels * 4, top, role: .sensitiveConvolution)
        return table.rows
    }

    private static func block(
        _ name: String, _ source: String, _ stage: AutoencoderConfiguration.Stage, _ c: AutoencoderConfiguration, _ fusions: Fusions,
        _ table: inout TableBuilder
    ) {
        let channels = stage.channels
        switch stage.kind {
        case .residual:
            table.convolution(name + "conv1", source + "conv1", channels, channels)
            table.convolution(name + "conv2", source + "conv2", channels, channels, bias: false)
            table.norm(name + "norm", source + "norm", channels, bias: true)
        case .efficientViT:
            let inner = channels / c.headDimension * c.headDimension
            // to_q, to_k and to_v are thirds of rows that lie [q k v] head by head: only their concatenation means anything.
            table.linears(
                name + "attn.", fused: fusions.contains(.queryKeyValue) ? "qkv" : nil,
                ["q", "k", "v"].map { .init(name: $0, source: source + "attn.to_\($0)", outputs: inner) }, inputs: channels, role: .convolution, bias: false)
            for (index, kernel) in stage.scales.enumerated() {
                let (scale, origin) = (name + "attn.scale.\(index).", source + "attn.to_qkv_multiscale.\(index).")
                table.depthwise(scale + "depth", origin + "proj_in", 3 * inner, kernel: kernel, bias: false)
                table.linear(scale + "point", origin + "proj_out", 3 * inner, c.headDimension, role: .groupedConvolution, bias: false, kernel: 1)
            }
            table.linear(name + "attn.out", source + "attn.to_out", channels, inner * (1 + stage.scales.count), role: .convolution, bias: false)
            table.norm(name + "attn.norm", source + "attn.norm_out", channels, bias: true)
            let hidden = gluExpansion * channels
            table.linear(name + "glu.in", source + "conv_out.conv_inverted", 2 * hidden, channels, role: .convolution, bias: true, kernel: 1)
            table.depthwise(name + "glu.depth", source + "conv_out.conv_depth", 2 * hidden, kernel: 3, bias: true)
            table.linear(name + "glu.out", source + "conv_out.conv_point", channels, hidden, role: .gatedLinear, bias: false, kernel: 1)
            table.norm(name + "glu.norm", source + "conv_out.norm", channels, bias: true)
        }
    }
}
