package import Operations
package import Tensors

/// The decoder of a DC-AE: latents to picture.
///
/// Stages of attention work on whole maps and load their blocks one after the other. The stages of residual blocks, which have
/// the large maps, pass as one stream of rows from the last whole map to the picture, unless somebody follows the probes between them.
/// Source: Decoder in diffusers' autoencoder_dc.py.
package struct AutoencoderDecoder: Sendable {
    package let configuration: AutoencoderConfiguration
    private let loader: WeightLoader

    package init(_ configuration: AutoencoderConfiguration, from source: any WeightSource, on executor: CPU, built: BuiltLayers? = nil) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor, built: built)
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
        for index in configuration.decoder.stages.indices.reversed() {
            try run(index, &maps, probes)
            guard probes.listens("stage.\(index)") else { continue }
            _ = try Self.each(&maps) { map throws(AllocationError) in try probes.recordMap("stage.\(index)", try map.made()) }
        }
        try probes.checkCancelled()
        for operation in try InferenceError.loading({ () throws(WeightError) in try closing() }) { Self.append(operation, to: &maps) }
        try probes.checkCancelled()
        return try Self.each(&maps) { map throws(AllocationError) in try ImageLayout.channelsFirst(try map.made()) }
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    package func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try stage(index, [x])[0] }

    /// One stage alone, from several maps.
    package func stage(_ index: Int, _ x: [Tensor]) throws(InferenceError) -> [Tensor] {
        var x = x
        var maps = try Self.each(&x) { map throws(AllocationError) in PendingMap(try ImageLayout.channelsLast(map), on: loader.executor) }
        try run(index, &maps)
        return try Self.each(&maps) { map throws(AllocationError) in try ImageLayout.channelsFirst(try map.made()) }
    }

    private static func each<Map, Result>(
        _ maps: inout [Map], _ body: (inout Map) throws(AllocationError) -> Result
    ) throws(InferenceError) -> [Result] {
        var results: [Result] = []
        for index in maps.indices { results.append(try InferenceError.wrap { () throws(AllocationError) in try body(&maps[index]) }) }
        return results
    }

    private static func append(_ operation: RowOperation, to maps: inout [PendingMap]) {
        for index in maps.indices { maps[index].append(operation) }
    }

    private func open(_ latents: [Tensor], _ probes: Probes) throws(InferenceError) -> [PendingMap] {
        let deepest = configuration.decoder.stages[configuration.decoder.stages.count - 1].channels
        let convolution = try InferenceError.loading { () throws(WeightError) in
            try loader.convolution("vae.dec.conv_in", deepest, configuration.latentChannels)
        }
        var latents = latents
        return try Self.each(&latents) { latents throws(AllocationError) in
            try probes.record("input", latents.batched)
            let input = try ImageLayout.channelsLast(latents)
            var x = try convolution(input)
            try probes.recordMap("conv_in", x)
            if configuration.decoderShortcut { Shortcuts.addRepeated(input, to: &x) }
            return PendingMap(x, on: loader.executor)
        }
    }

    /// Runs a stage on maps `[h, w, channels]` in place.
    private func run(_ index: Int, _ maps: inout [PendingMap], _ probes: Probes = Probes()) throws(InferenceError) {
        let stages = configuration.decoder.stages
        let stage = stages[index]
        guard stage.blocks > 0 else { return }
        try probes.checkCancelled()
        if index + 1 < stages.count {
            let name = "vae.dec.stage.\(index).up"
            let operation = try InferenceError.loading { () throws(WeightError) in
                try upsampling(name, inputs: stages[index + 1].channels, outputs: stage.channels, shortcut: true)
            }
            Self.append(operation, to: &maps)
        }
        for block in 0..<stage.blocks {
            try probes.checkCancelled()
            let name = "vae.dec.stage.\(index).block.\(SanaSprintWeights.number(block))."
            switch stage.kind {
            case .residual:
                Self.append(try InferenceError.loading { () throws(WeightError) in try ResidualBlock.operation(loader, name, stage) }, to: &maps)
            case .efficientViT:
                // Its weights come when those of the operations before are let go.
                _ = try Self.each(&maps) { map throws(AllocationError) in try map.made() }
                let layer = try InferenceError.loading { () throws(WeightError) in
                    try EfficientViTBlock(loader, name, stage, headDimension: configuration.headDimension)
                }
                _ = try Self.each(&maps) { map throws(AllocationError) in try map.update(layer.apply) }
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
            : .shuffling(try loader.convolution(name, 4 * outputs, inputs, often: true), shortcut: shortcut)
    }
}
