package import Operations
import ProbePoints
package import Tensors

/// The encoder of a DC-AE: picture to latents, without randomness.
///
/// Blocks of attention are loaded one after the other and let go; residual blocks of a stage pass as one stream of rows. Source: Encoder in diffusers' autoencoder_dc.py.
package struct AutoencoderEncoder<E: Executor>: Sendable {
    let configuration: AutoencoderConfiguration
    private let loader: WeightLoader<E>
    private let rows: AutoencoderRows

    init(_ configuration: AutoencoderConfiguration, from source: any WeightSource, on executor: E) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor)
        rows = AutoencoderRows(encoder: configuration, source.fusions)
    }

    /// The latents `[latentChannels, h / compression, w / compression]` of a picture `[imageChannels, h, w]` in -1 ... 1.
    package func encode(_ image: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Tensor {
        for (name, extent) in [("picture height", image.shape[1]), ("picture width", image.shape[2])] where extent % configuration.compression != 0 {
            throw .request(subject: name, expected: "a multiple of \(configuration.compression) pixels", found: "\(extent)")
        }
        var map = PendingMap(try open(image), on: executor)
        try record(Probe(.encoderConvolution), &map, probes)
        for index in configuration.encoder.stages.indices {
            try probes.checkCancelled()
            try run(index, &map)
            try record(Probe(.encoderStage, index), &map, probes)
        }
        let latents = try close(try allocating(try map.made()))
        try allocating(try probes.record(Probe(.encoderOutput), latents.batched))
        return latents
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        var map = try allocating(PendingMap(try executor.map(x), on: executor))
        try run(index, &map)
        return try allocating(try executor.image(try map.made()))
    }

    private var executor: E { loader.executor }

    private func record(_ probe: Probe, _ map: inout PendingMap<E>, _ probes: Probes) throws(InferenceError) {
        try allocating { () throws(MachineError) in
            let made = try map.made()
            try probes.recordMap(probe, try executor.tensor(from: made))
        }
    }

    /// The first convolution, which halves the picture where there is no stage 0.
    private func open(_ image: Tensor) throws(InferenceError) -> E.Rows {
        let halves = !configuration.encoder.hasTopStage
        let convolution = try loader.convolution(rows.first)
        return try allocating { () throws(MachineError) in
            let x = try executor.map(image)
            return halves ? try downsample(x, convolution) : try executor.run([.convolution(convolution)], on: x)
        }
    }

    /// Runs a stage on a map `[h, w, channels]` in place.
    private func run(_ index: Int, _ map: inout PendingMap<E>) throws(InferenceError) {
        guard let stage = rows.stages[index] else { return }
        for block in stage.blocks {
            switch block {
            case .residual(let rows):
                let activation = configuration.encoder.stages[index].activation
                map.append(try ResidualBlock.operation(loader, rows, activation))
            case .efficientViT(let rows):
                let layer = try EfficientViTBlock(loader, rows, headDimension: configuration.headDimension)
                try allocating(try map.update(layer.apply))
            }
        }
        guard let down = stage.resampling else { return }
        let convolution = try loader.convolution(down)
        map = try allocating { () throws(MachineError) in
            let x = try map.made()
            var halved = try downsample(x, convolution)
            try executor.addShortcut(try executor.unshuffled(x), to: &halved)
            return PendingMap(halved, on: executor)
        }
    }

    private func close(_ x: E.Rows) throws(InferenceError) -> Tensor {
        let convolution = try loader.convolution(rows.last)
        return try allocating { () throws(MachineError) in
            var result = try executor.run([.convolution(convolution)], on: x)
            if configuration.encoderShortcut { try executor.addShortcut(x, to: &result) }
            return try executor.image(result)
        }
    }

    private func downsample(_ x: E.Rows, _ convolution: E.Convolution) throws(MachineError) -> E.Rows {
        configuration.unshuffles
            ? try executor.unshuffled(try executor.run([.convolution(convolution)], on: x)) : try executor.run([.convolution(convolution, step: 2)], on: x)
    }
}
