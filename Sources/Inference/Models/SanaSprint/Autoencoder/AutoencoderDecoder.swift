package import Tensors

/// The decoder of a DC-AE: latents to picture.
///
/// Stages of attention work on whole maps and load their blocks one after the other. The stages of residual blocks, which have
/// the large maps, pass as one stream of rows from the last whole map to the picture, unless somebody follows the probes between them.
/// Source: Decoder in diffusers' autoencoder_dc.py.
package struct AutoencoderDecoder: Sendable {
    package let configuration: AutoencoderConfiguration
    private let loader: WeightLoader
    private let winograd: Bool

    /// - Parameter winograd: whether float32 convolutions of residual blocks and before a pixel shuffle multiply by Winograd's algorithm; off only to see that it
    ///   changes nothing but the last bits.
    package init(_ configuration: AutoencoderConfiguration, from source: any WeightSource, winograd: Bool = true) {
        (self.configuration, self.winograd) = (configuration, winograd)
        loader = WeightLoader(source: source)
    }

    /// The picture `[imageChannels, h * compression, w * compression]`, about -1 to 1 and not clamped, of latents `[latentChannels, h, w]`.
    ///
    /// - Parameter latents: as the autoencoder made them, which is the transformer's divided by the scaling factor.
    package func decode(_ latents: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Tensor {
        try decode([latents], probes.below("vae.dec."))[0]
    }

    /// The pictures of several latents: weights are loaded once for all of them.
    package func decode(_ latents: [Tensor]) throws(InferenceError) -> [Tensor] { try decode(latents, Probes()) }

    private func decode(_ latents: [Tensor], _ probes: Probes) throws(InferenceError) -> [Tensor] {
        var maps = try open(latents, probes)
        var pending: [RowOperation] = []
        for index in configuration.decoder.stages.indices.reversed() {
            try run(index, &maps, &pending)
            guard probes.listens("stage.\(index)") else { continue }
            try flush(&pending, &maps)
            for map in maps { try InferenceError.wrap { () throws(AllocationError) in try probes.recordMap("stage.\(index)", map) } }
        }
        pending += try InferenceError.loading { () throws(WeightError) in try closing() }
        try flush(&pending, &maps)
        return try Self.each(maps) { map throws(AllocationError) in try ImageLayout.channelsFirst(map) }
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    package func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try stage(index, [x])[0] }

    /// One stage alone, from several maps.
    package func stage(_ index: Int, _ x: [Tensor]) throws(InferenceError) -> [Tensor] {
        var maps = try Self.each(x) { map throws(AllocationError) in try ImageLayout.channelsLast(map) }
        var pending: [RowOperation] = []
        try run(index, &maps, &pending)
        try flush(&pending, &maps)
        return try Self.each(maps) { map throws(AllocationError) in try ImageLayout.channelsFirst(map) }
    }

    private static func each(_ maps: [Tensor], _ body: (Tensor) throws(AllocationError) -> Tensor) throws(InferenceError) -> [Tensor] {
        var result: [Tensor] = []
        for map in maps { result.append(try InferenceError.wrap { () throws(AllocationError) in try body(map) }) }
        return result
    }

    private func open(_ latents: [Tensor], _ probes: Probes) throws(InferenceError) -> [Tensor] {
        let deepest = configuration.decoder.stages[configuration.decoder.stages.count - 1].channels
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.dec.conv_in", deepest, configuration.latentChannels)
        }
        return try Self.each(latents) { latents throws(AllocationError) in
            try probes.record("input", latents.batched)
            let input = try ImageLayout.channelsLast(latents)
            var x = try convolution(input)
            try probes.recordMap("conv_in", x)
            if configuration.decoderShortcut { Shortcuts.addRepeated(input, to: &x) }
            return x
        }
    }

    /// Runs a stage on maps `[h, w, channels]` in place, or adds what it does to the operations that are still to be done.
    private func run(_ index: Int, _ maps: inout [Tensor], _ pending: inout [RowOperation]) throws(InferenceError) {
        let stages = configuration.decoder.stages
        let stage = stages[index]
        guard stage.blocks > 0 else { return }
        if index + 1 < stages.count {
            let name = "vae.dec.stage.\(index).up"
            pending.append(
                try InferenceError.loading { () throws(WeightError) in
                    try upsampling(name, inputs: stages[index + 1].channels, outputs: stage.channels, shortcut: true)
                })
        }
        for block in 0..<stage.blocks {
            let name = "vae.dec.stage.\(index).block.\(SanaSprintWeights.number(block))."
            switch stage.kind {
            case .residual:
                pending.append(try InferenceError.loading { () throws(WeightError) in try ResidualBlock.operation(loader, name, stage, winograd: winograd) })
            case .efficientViT:
                try flush(&pending, &maps)
                let layer = try InferenceError.loading { () throws(WeightError) in
                    try EfficientViTBlock(loader, name, stage, headDimension: configuration.headDimension)
                }
                for map in maps.indices { try InferenceError.wrap { () throws(AllocationError) in try layer.apply(&maps[map]) } }
            }
        }
    }

    /// Norm, activation and the last convolution, which doubles the picture where there is no stage 0.
    private func closing() throws(WeightError) -> [RowOperation] {
        let (name, top, channels) = ("vae.dec.conv_out", configuration.decoder.topChannels, configuration.imageChannels)
        let norm = try loader.norm("vae.dec.norm", top, bias: true, epsilon: AutoencoderConfiguration.normEpsilon)
        let last: RowOperation =
            configuration.decoder.hasTopStage
            ? .convolution(try loader.convolution(name, channels, top)) : try upsampling(name, inputs: top, outputs: channels, shortcut: false)
        return [.norm(norm, configuration.outputActivation), last]
    }

    private func upsampling(_ name: String, inputs: Int, outputs: Int, shortcut: Bool) throws(WeightError) -> RowOperation {
        configuration.interpolates
            ? .doubling(try loader.convolution(name, outputs, inputs), shortcut: shortcut)
            : .shuffling(try loader.convolution(name, 4 * outputs, inputs, winograd: winograd), shortcut: shortcut)
    }

    private func flush(_ pending: inout [RowOperation], _ maps: inout [Tensor]) throws(InferenceError) {
        guard !pending.isEmpty else { return }
        let operations = pending
        maps = try Self.each(maps) { map throws(AllocationError) in try RowChain.apply(operations, to: map) }
        pending = []
    }
}
