package import Tensors

/// The decoder of a DC-AE: latents to picture.
///
/// Blocks are loaded one after the other and let go. Source: Decoder in diffusers' autoencoder_dc.py.
package struct AutoencoderDecoder: Sendable {
    package let configuration: AutoencoderConfiguration
    private let loader: WeightLoader

    package init(_ configuration: AutoencoderConfiguration, from source: any WeightSource) {
        self.configuration = configuration
        loader = WeightLoader(source: source)
    }

    /// The picture `[imageChannels, h * compression, w * compression]`, about -1 to 1 and not clamped, of latents `[latentChannels, h, w]`.
    ///
    /// - Parameter latents: as the autoencoder made them, which is the transformer's divided by the scaling factor.
    package func decode(_ latents: Tensor, probes sink: (any ProbeSink)? = nil) throws(InferenceError) -> Tensor {
        let probes = Probes(sink: sink, prefix: "vae.dec.")
        var x = try open(latents, probes)
        for index in configuration.decoder.stages.indices.reversed() {
            try run(index, &x)
            try InferenceError.wrap { () throws(AllocationError) in try probes.recordMap("stage.\(index)", x) }
        }
        return try close(x)
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    package func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        var map = try InferenceError.wrap { () throws(AllocationError) in try ImageLayout.channelsLast(x) }
        try run(index, &map)
        return try InferenceError.wrap { () throws(AllocationError) in try ImageLayout.channelsFirst(map) }
    }

    private func open(_ latents: Tensor, _ probes: Probes) throws(InferenceError) -> Tensor {
        let deepest = configuration.decoder.stages[configuration.decoder.stages.count - 1].channels
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.dec.conv_in", deepest, configuration.latentChannels)
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            try probes.record("input", latents.batched)
            let input = try ImageLayout.channelsLast(latents)
            var x = try convolution(input)
            try probes.recordMap("conv_in", x)
            if configuration.decoderShortcut { Shortcuts.addRepeated(input, to: &x) }
            return x
        }
    }

    /// Runs a stage on a map `[h, w, channels]` in place.
    private func run(_ index: Int, _ x: inout Tensor) throws(InferenceError) {
        let stages = configuration.decoder.stages
        let stage = stages[index]
        guard stage.blocks > 0 else { return }
        if index + 1 < stages.count {
            let convolution = try InferenceError.loading { () throws(WeightError) in
                try loader.convolution(
                    "vae.dec.stage.\(index).up", configuration.interpolates ? stage.channels : 4 * stage.channels, stages[index + 1].channels)
            }
            x = try InferenceError.wrap { () throws(AllocationError) in
                var doubled = try upsample(x, convolution)
                Shortcuts.addUpsampled(x, to: &doubled)
                return doubled
            }
        }
        for block in 0..<stage.blocks {
            let layer = try InferenceError.loading { () throws(WeightError) in
                try AutoencoderBlock(
                    loader, "vae.dec.stage.\(index).block.\(SanaSprintWeights.number(block)).", stage, headDimension: configuration.headDimension)
            }
            try InferenceError.wrap { () throws(AllocationError) in try layer.apply(&x) }
        }
    }

    /// Norm, activation and the last convolution, which doubles the picture where there is no stage 0.
    private func close(_ x: Tensor) throws(InferenceError) -> Tensor {
        let (top, doubles) = (configuration.decoder.topChannels, !configuration.decoder.hasTopStage)
        let norm = try InferenceError.loading { () throws(WeightError) in
            try loader.norm("vae.dec.norm", top, bias: true, epsilon: AutoencoderConfiguration.normEpsilon)
        }
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution(
                "vae.dec.conv_out", doubles && !configuration.interpolates ? 4 * configuration.imageChannels : configuration.imageChannels, top)
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            var hidden = try norm(x)
            configuration.outputActivation.apply(&hidden)
            return try ImageLayout.channelsFirst(doubles ? try upsample(hidden, convolution) : try convolution(hidden))
        }
    }

    private func upsample(_ x: Tensor, _ convolution: Convolution) throws(AllocationError) -> Tensor {
        configuration.interpolates ? try convolution(x, .upsampled) : try PixelShuffle.shuffle(try convolution(x))
    }
}
