package import Operations
import ProbePoints
package import Tensors

/// The decoder of a DC-AE: latents to picture.
///
/// Stages of attention work on whole maps and load their blocks one after the other. The stages of residual blocks, which have
/// the large maps, pass as one stream of rows from the last whole map to the picture, unless somebody follows the probes between them.
/// Source: Decoder in diffusers' autoencoder_dc.py.
package struct AutoencoderDecoder<E: Executor>: Sendable {
    package let configuration: AutoencoderConfiguration
    private let loader: WeightLoader<E>
    private let rows: AutoencoderRows

    init(_ configuration: AutoencoderConfiguration, from source: any WeightSource, on executor: E, built: BuiltLayers? = nil) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor, built: built)
        rows = AutoencoderRows(decoder: configuration, source.fusions)
    }

    /// The picture `[imageChannels, h * compression, w * compression]`, about -1 to 1 and not clamped, of latents `[latentChannels, h, w]`.
    ///
    /// - Parameter latents: as the autoencoder made them, which is the transformer's divided by the scaling factor.
    package func decode(_ latents: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Tensor {
        try decode([latents], probes)[0]
    }

    /// The pictures of several latents: weights are loaded once for all of them.
    func decode(_ latents: [Tensor]) throws(InferenceError) -> [Tensor] { try decode(latents, Probes()) }

    private func decode(_ latents: [Tensor], _ probes: Probes) throws(InferenceError) -> [Tensor] {
        var maps = try open(latents, probes)
        for index in configuration.decoder.stages.indices.reversed() {
            try run(index, &maps, probes)
            guard probes.listens(Probe(.decoderStage, index)) else { continue }
            _ = try Self.each(&maps) { map throws(MachineError) in
                let made = try map.made()
                try probes.recordMap(Probe(.decoderStage, index), try executor.tensor(from: made))
            }
        }
        try probes.checkCancelled()
        for operation in try closing() { Self.append(operation, to: &maps) }
        try probes.checkCancelled()
        return try Self.each(&maps, finished)
    }

    /// One stage alone, from a given map `[channels, h, w]`, as traces have it.
    package func stage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try stage(index, [x])[0] }

    /// One stage alone, from several maps.
    func stage(_ index: Int, _ x: [Tensor]) throws(InferenceError) -> [Tensor] {
        var x = x
        var maps = try Self.each(&x) { x throws(MachineError) in PendingMap(try executor.map(x), on: executor) }
        try run(index, &maps)
        return try Self.each(&maps, finished)
    }

    private var executor: E { loader.executor }

    private func finished(_ map: inout PendingMap<E>) throws(MachineError) -> Tensor { try executor.image(try map.made()) }

    private static func each<Map, Result>(
        _ maps: inout [Map], _ body: (inout Map) throws(MachineError) -> Result
    ) throws(InferenceError) -> [Result] {
        var results: [Result] = []
        for index in maps.indices { results.append(try allocating(try body(&maps[index]))) }
        return results
    }

    private static func append(_ operation: RowOperation<E>, to maps: inout [PendingMap<E>]) {
        for index in maps.indices { maps[index].append(operation) }
    }

    private func open(_ latents: [Tensor], _ probes: Probes) throws(InferenceError) -> [PendingMap<E>] {
        let convolution = try loader.convolution(rows.first)
        var latents = latents
        return try Self.each(&latents) { latents throws(MachineError) in
            try probes.record(Probe(.decoderInput), latents.batched)
            let input = try executor.map(latents)
            var x = try executor.run([.convolution(convolution)], on: input)
            try probes.recordMap(Probe(.decoderConvolution), try executor.tensor(from: x))
            if configuration.decoderShortcut { try executor.addShortcut(input, to: &x) }
            return PendingMap(x, on: executor)
        }
    }

    /// The first convolution alone, on a map `[c, h, w]` and before its shortcut.
    func opened(_ latents: Tensor) throws(InferenceError) -> Tensor {
        let convolution = try loader.convolution(rows.first)
        return try allocating { () throws(MachineError) in
            var opened = PendingMap(try executor.map(latents), on: executor)
            opened.append(.convolution(convolution))
            return try finished(&opened)
        }
    }

    /// What the deepest stage takes: `opened` and the shortcut around it.
    func withShortcut(_ opened: Tensor, latents: Tensor) throws(InferenceError) -> Tensor {
        try allocating { () throws(MachineError) in
            var x = try executor.map(opened)
            if configuration.decoderShortcut { try executor.addShortcut(try executor.map(latents), to: &x) }
            return try executor.image(x)
        }
    }

    /// The picture of the highest stage's map `[c, h, w]`, as traces have it.
    func picture(_ x: Tensor) throws(InferenceError) -> Tensor {
        let operations = try closing()
        return try allocating { () throws(MachineError) in
            var map = PendingMap(try executor.map(x), on: executor)
            for operation in operations { map.append(operation) }
            return try finished(&map)
        }
    }

    /// Runs a stage on maps `[h, w, channels]` in place.
    private func run(_ index: Int, _ maps: inout [PendingMap<E>], _ probes: Probes = Probes()) throws(InferenceError) {
        guard let stage = rows.stages[index] else { return }
        try probes.checkCancelled()
        if let up = stage.resampling {
            let operation = try upsampling(up, shortcut: true)
            Self.append(operation, to: &maps)
        }
        for block in stage.blocks {
            try probes.checkCancelled()
            switch block {
            case .residual(let rows):
                let activation = configuration.decoder.stages[index].activation
                Self.append(try ResidualBlock.operation(loader, rows, activation), to: &maps)
            case .efficientViT(let rows):
                // Its weights come when those of the operations before are let go.
                _ = try Self.each(&maps) { map throws(MachineError) in try map.made() }
                let layer = try EfficientViTBlock(loader, rows, headDimension: configuration.headDimension)
                _ = try Self.each(&maps) { map throws(MachineError) in try map.update(layer.apply) }
            }
        }
    }

    /// Norm, activation and the last convolution, which doubles the picture where there is no stage 0.
    private func closing() throws(InferenceError) -> [RowOperation<E>] {
        var operations: [RowOperation<E>] = []
        if let norm = rows.norm {
            operations.append(.norm(try loader.norm(norm, epsilon: AutoencoderConfiguration.normEpsilon), configuration.outputActivation))
        }
        let last: RowOperation<E> =
            configuration.decoder.hasTopStage ? .convolution(try loader.convolution(rows.last)) : try upsampling(rows.last, shortcut: false)
        return operations + [last]
    }

    private func upsampling(_ rows: Parameters, shortcut: Bool) throws(InferenceError) -> RowOperation<E> {
        configuration.interpolates
            ? .doubling(try loader.convolution(rows), shortcut: shortcut) : .shuffling(try loader.convolution(rows, often: true), shortcut: shortcut)
    }
}
