package import Operations
import StrictJSON

/// The architecture of a DC-AE: `vae/config.json` of diffusers' AutoencoderDC.
package struct AutoencoderConfiguration: Sendable, Equatable {
    package let imageChannels: Int
    package let latentChannels: Int
    package let headDimension: Int
    package let encoder: Side
    package let decoder: Side
    /// Encoder: stride-2 convolutions ("Conv"), or convolutions and pixel unshuffle.
    let unshuffles: Bool
    /// Decoder: nearest interpolation and convolution ("interpolate"), or convolution and pixel shuffle.
    package let interpolates: Bool
    /// Activation before the decoder's last convolution.
    let outputActivation: Activation
    let encoderShortcut: Bool
    package let decoderShortcut: Bool
    package let scalingFactor: Double

    /// Stages of the encoder or decoder, highest resolution first, as the checkpoint numbers them.
    package struct Side: Sendable, Equatable {
        package let stages: [Stage]
        /// Channels at the highest resolution that has a stage: stage 0 may be empty, and its down- or up-sampling is then conv_in or conv_out.
        var topChannels: Int { stages[0].blocks > 0 ? stages[0].channels : stages[1].channels }
        package var hasTopStage: Bool { stages[0].blocks > 0 }
    }

    package struct Stage: Sendable, Equatable {
        package let kind: BlockKind
        package let channels: Int
        package let blocks: Int
        /// Odd kernel sizes of the multi-scale branches of attention.
        package let scales: [Int]
        /// Activation inside residual blocks.
        package let activation: Activation
    }

    package enum BlockKind: Sendable, Equatable { case residual, efficientViT }

    /// Pixels per latent, along each side.
    package var compression: Int { 1 << (encoder.stages.count - 1) }

    private static let file = "vae/config.json"

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: Self.file)
        try reader.choice("_class_name", [("AutoencoderDC", ())], default: "AutoencoderDC")
        imageChannels = try reader.int("in_channels", in: 1...64, default: 3)
        latentChannels = try reader.int("latent_channels", in: 1...4096, default: 32)
        headDimension = try reader.int("attention_head_dim", in: 1...LinearAttention.maximumHeadDimension, default: 32)
        encoder = try Side(reader, "encoder", blocks: [2, 2, 2, 3, 3, 3], headDimension: headDimension)
        decoder = try Side(reader, "decoder", blocks: [3, 3, 3, 3, 3, 3], headDimension: headDimension)
        unshuffles = try reader.choice(
            "downsample_block_type", [("pixel_unshuffle", true), ("Conv", false), ("conv", false)], default: "pixel_unshuffle")
        interpolates = try reader.choice("upsample_block_type", [("pixel_shuffle", false), ("interpolate", true)], default: "pixel_shuffle")
        outputActivation = try reader.choice("decoder_conv_act_fn", Activation.spellings, default: "relu")
        encoderShortcut = try reader.bool("encoder_out_shortcut", default: true)
        decoderShortcut = try reader.bool("decoder_in_shortcut", default: true)
        scalingFactor = try reader.double("scaling_factor", in: 1e-9...1e9, default: 1)
        _ = try reader.choices("decoder_norm_types", [("rms_norm", ())], stages: decoder.stages.count, default: "rms_norm")
        try checkResampling()
    }

    /// What diffusers asserts while it builds the resampling blocks and shortcuts.
    private func checkResampling() throws(InferenceError) {
        guard encoder.stages.count == decoder.stages.count else {
            throw .inconsistent(
                subject: "\(Self.file): decoder_block_out_channels", expected: "\(encoder.stages.count) stages as the encoder has",
                found: "\(decoder.stages.count)")
        }
        for (side, name) in [(encoder, "encoder"), (decoder, "decoder")] {
            for index in 1..<side.stages.count where side.stages[index - 1].blocks > 0 {
                let (high, low) = (side.stages[index - 1].channels, side.stages[index].channels)
                guard high * 4 % low == 0 else {
                    throw .inconsistent(
                        subject: "\(Self.file): \(name)_block_out_channels", expected: "stage \(index) to divide four times stage \(index - 1)",
                        found: "\(low) and \(high)")
                }
                guard name == "decoder" || !unshuffles || low % 4 == 0 else {
                    throw .inconsistent(subject: "\(Self.file): encoder_block_out_channels", expected: "multiples of 4, for pixel_unshuffle", found: "\(low)")
                }
            }
        }
        if unshuffles, !encoder.hasTopStage, encoder.topChannels % 4 != 0 {
            throw .inconsistent(
                subject: "\(Self.file): encoder_block_out_channels", expected: "multiples of 4, for pixel_unshuffle", found: "\(encoder.topChannels)")
        }
        for (side, shortcut, name) in [(encoder, encoderShortcut, "encoder_out_shortcut"), (decoder, decoderShortcut, "decoder_in_shortcut")] {
            let deepest = side.stages[side.stages.count - 1].channels
            guard !shortcut || deepest % latentChannels == 0 else {
                throw .inconsistent(
                    subject: "\(Self.file): \(name)", expected: "a deepest stage whose channels are a multiple of \(latentChannels)", found: "\(deepest)")
            }
        }
    }
}

extension AutoencoderConfiguration.Side {
    init(_ reader: ConfigurationReader, _ name: String, blocks defaultBlocks: [Int], headDimension: Int) throws(InferenceError) {
        let channels = try reader.ints("\(name)_block_out_channels", in: 1...16_384, default: [128, 256, 512, 512, 1024, 1024])
        let count = channels.count
        guard (2...9).contains(count) else {
            throw .unsupported(subject: "\(reader.subject): \(name)_block_out_channels", found: "\(count) stages", supported: "2 to 9")
        }
        let blocks = try reader.ints("\(name)_layers_per_block", in: 0...256, default: defaultBlocks)
        let kinds = try reader.choices(
            "\(name)_block_types", [("ResBlock", AutoencoderConfiguration.BlockKind.residual), ("EfficientViTBlock", .efficientViT)], stages: count,
            default: "ResBlock")
        let scales = try Self.scales(reader, "\(name)_qkv_multiscales")
        // Only the decoder's activations can be chosen; the encoder's residual blocks are built with SiLU.
        let activations = name == "decoder" ? try reader.choices("decoder_act_fns", Activation.spellings, stages: count, default: "silu") : []
        for (key, found) in [("layers_per_block", blocks.count), ("qkv_multiscales", scales.count)] where found != count {
            throw .inconsistent(subject: "\(reader.subject): \(name)_\(key)", expected: "\(count) entries, one per stage", found: "\(found)")
        }
        var stages: [AutoencoderConfiguration.Stage] = []
        for index in 0..<count {
            guard blocks[index] > 0 || index == 0 else {
                throw .unsupported(
                    subject: "\(reader.subject): \(name)_layers_per_block", found: "stage \(index) without blocks", supported: "an empty stage 0 only")
            }
            guard kinds[index] == .residual || channels[index] >= headDimension else {
                throw .inconsistent(
                    subject: "\(reader.subject): \(name)_block_out_channels", expected: "at least one head of \(headDimension) channels in stage \(index)",
                    found: "\(channels[index])")
            }
            stages.append(
                .init(
                    kind: kinds[index], channels: channels[index], blocks: blocks[index], scales: kinds[index] == .residual ? [] : scales[index],
                    activation: activations.isEmpty ? .silu : activations[index]))
        }
        self.init(stages: stages)
    }

    private static func scales(_ reader: ConfigurationReader, _ key: String) throws(InferenceError) -> [[Int]] {
        guard let value = reader.fields.value(key) else { return [[], [], [], [5], [5], [5]] }
        let place = "\(reader.subject): \(key)"
        guard let items = value.array else { throw .inconsistent(subject: place, expected: "an array of arrays", found: value.kind) }
        var result: [[Int]] = []
        for item in items {
            let sizes = try ConfigurationReader.ints(item, in: 1...63, subject: place)
            for size in sizes where size % 2 == 0 { throw .unsupported(subject: place, found: "the kernel size \(size)", supported: "odd sizes up to 63") }
            result.append(sizes)
        }
        return result
    }
}
