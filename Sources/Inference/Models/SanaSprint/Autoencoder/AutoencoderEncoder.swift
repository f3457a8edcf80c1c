package import Operations
package import Tensors

/// The encoder of a DC-AE: picture to latents, without randomness.
///
/// Blocks of attention are loaded one after the other and let go; residual blocks of a stage pass as one stream of rows. Source: Encoder in diffusers' autoencoder_dc.py.
package struct AutoencoderEncoder: Sendable {
    package let configuration: AutoencoderConfiguration
    private let loader: WeightLoader

    package init(_ configuration: AutoencoderConfiguration, from source: any WeightSource, on executor: CPU) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor)
    }

    /// The latents `[latentChannels, h / compression, w / compression]` of a picture `[imageChannels, h, w]` in -1 ... 1.
    package func encode(_ image: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Tensor {
        let probes = probes.below("vae.enc.")
        for (name, extent) in [("picture height", image.shape[1]), ("picture width", image.shape[2])] where extent % configuration.compression != 0 {
            throw .request(subject: name, expected: "a multiple of \(configuration.compression) pixels", found: "\(extent)")
        }
        var map = PendingMap(try open(image), on: loader.executor)
        try InferenceError.wrap { () throws(AllocationError) in try probes.recordMap("conv_in", try map.made()) }
        for index in configuration.encoder.stages.indices {
            try probes.checkCancelled()
            try run(index, &map)
            try InferenceError.wrap { () throws(AllocationError) in try probes.recordMap("stage.\(index)", try map.made()) }
        }
        let latents = try close(try InferenceError.wrap { () throws(AllocationError) in try map.made() })
        try InferenceError.wrap { () throws(AllocationError) in try probes.record("output", latents.batched) }
        return latents
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    package func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        var map = try InferenceError.wrap { () throws(AllocationError) in PendingMap(try ImageLayout.channelsLast(x), on: loader.executor) }
        try run(index, &map)
        return try InferenceError.wrap { () throws(AllocationError) in try ImageLayout.channelsFirst(try map.made()) }
    }

    /// The first convolution, which halves the picture where there is no stage 0.
    private func open(_ image: Tensor) throws(InferenceError) -> Tensor {
        let (top, halves) = (configuration.encoder.topChannels, !configuration.encoder.hasTopStage)
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.enc.conv_in", halves && configuration.unshuffles ? top / 4 : top, configuration.imageChannels)
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            let x = try ImageLayout.channelsLast(image)
            return halves ? try downsample(x, convolution) : try convolution(x)
        }
    }

    /// Runs a stage on a map `[h, w, channels]` in place.
    private func run(_ index: Int, _ map: inout PendingMap) throws(InferenceError) {
        let stages = configuration.encoder.stages
        let stage = stages[index]
        guard stage.blocks > 0 else { return }
        for block in 0..<stage.blocks {
            let name = "vae.enc.stage.\(index).block.\(SanaSprintWeights.number(block))."
            switch stage.kind {
            case .residual: map.append(try InferenceError.loading { () throws(WeightError) in try ResidualBlock.operation(loader, name, stage) })
            case .efficientViT:
                let layer = try InferenceError.loading { () throws(WeightError) in
                    try EfficientViTBlock(loader, name, stage, headDimension: configuration.headDimension)
                }
                try InferenceError.wrap { () throws(AllocationError) in try map.update(layer.apply) }
            }
        }
        guard index + 1 < stages.count else { return }
        let outputs = stages[index + 1].channels
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.enc.stage.\(index).down", configuration.unshuffles ? outputs / 4 : outputs, stage.channels)
        }
        map = try InferenceError.wrap { () throws(AllocationError) in
            let x = try map.made()
            var halved = try downsample(x, convolution)
            try Shortcuts.addDownsampled(x, to: &halved)
            return PendingMap(halved, on: loader.executor)
        }
    }

    private func close(_ x: Tensor) throws(InferenceError) -> Tensor {
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.enc.conv_out", configuration.latentChannels, x.shape[2])
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            var result = try convolution(x)
            if configuration.encoderShortcut { Shortcuts.addMeans(x, to: &result) }
            return try ImageLayout.channelsFirst(result)
        }
    }

    private func downsample(_ x: Tensor, _ convolution: Convolution) throws(AllocationError) -> Tensor {
        configuration.unshuffles ? try PixelShuffle.unshuffle(try convolution(x)) : try convolution(x, .stride2)
    }
}
