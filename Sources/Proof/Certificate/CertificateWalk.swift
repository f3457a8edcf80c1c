import Inference
import Operations
import ProbePoints
import Tensors

/// The steps of a model whose outputs a certificate holds, each fed the reference's values: an error cannot travel, the layer that is wrong shows.
///
/// Inputs are small: four tokens of a picture, some of a prompt, corners of three by three of the autoencoder's maps, which is as many as
/// its largest kernels have taps for.
struct CertificateWalk<E: Executor> {
    let pipeline: SanaSprintPipeline<E>
    let inputs: CertificateInputs
    let values: CertificateValues
    /// How many more times the steps of a component run, with float32 noise on their inputs.
    let draws: (Component) -> Int
    /// Is given what each step computed, and after it what it computed with noise.
    let take: (_ name: String, [Tensor]) throws -> Void

    /// Runs the components that the model has.
    func run(_ progress: (String) -> Void = { _ in }) throws {
        if pipeline.has(.textEncoder) { try text(progress) }
        if pipeline.has(.transformer) { try transformer(progress) }
        if Self.runsControl(pipeline) { try control(progress) }
        if pipeline.has(.vaeDecoder) { try decoder(progress) }
        if pipeline.has(.vaeEncoder) { try encoder(progress) }
    }

    private static func runsControl(_ pipeline: SanaSprintPipeline<E>) -> Bool { pipeline.has(.transformer) && pipeline.has(.controlnet) }

    /// How often `run` reports progress.
    static func steps(_ pipeline: SanaSprintPipeline<E>) -> Int {
        let c = pipeline.configuration
        var count = 0
        if pipeline.has(.textEncoder) { count += c.text?.layers ?? 0 }
        if pipeline.has(.transformer) { count += c.transformer.layers }
        if runsControl(pipeline) { count += c.control?.branch.layers ?? 0 }
        if pipeline.has(.vaeDecoder) { count += 1 + (c.vae?.decoder.stages.count { $0.blocks > 0 } ?? 0) }
        if pipeline.has(.vaeEncoder) { count += 1 }
        return count
    }

    private func text(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.text else { return }
        let (parts, encoder, shape) = (pipeline.parts, try pipeline.textEncoder(), Shape([inputs.ids.count, c.width]))
        try take(Probe(.embeddings).name, [try parts.embeddings(inputs.ids)])
        for index in 0..<c.layers {
            let probe = Probe(.textLayer, index)
            progress(probe.name)
            let input = try values.tensor(probe.previous(.embeddings), shape)
            try each(probe, .textEncoder, input) { inputs in try inputs.map { try encoder.layer(index, $0) } }
        }
        try each(Probe(.textNorm), .textEncoder, try values.tensor(Probe(.textLayer, c.layers - 1), shape)) { inputs in
            try inputs.map { try parts.textNorm($0) }
        }
    }

    private func transformer(_ progress: (String) -> Void) throws {
        let (c, parts, side) = (pipeline.configuration.transformer, pipeline.parts, CertificateInputs.side)
        let features = try values.rows(inputs.features, columns: c.captionChannels)
        let latents = try values.tensor(Probe(.start), [c.channels, side * c.patch, side * c.patch])
        let conditioning = try parts.residentConditioning()
        let own = try conditioning.embed(time: inputs.flowTime, guidance: inputs.guidance)
        try take(Probe(.timeEmbedding).name, [own.embedding])
        try take(Probe(.modulation).name, [own.modulation])
        try each(Probe(.caption), .transformer, features) { inputs in try inputs.map { try conditioning.caption($0) } }
        try each(Probe(.patches), .transformer, latents) { inputs in try inputs.map { try parts.patchEmbedding($0) } }
        let caption = try values.tensor(Probe(.caption), [features.rows, c.width])
        let (embedding, modulation) = (try values.tensor(Probe(.timeEmbedding), [1, c.width]), try values.tensor(Probe(.modulation), [6, c.width]))
        let ownCaption = try conditioning.caption(features)
        // The whole transformer on its own, on its way through the blocks.
        var states = try copies(latents, .transformer).map { try parts.patchEmbedding($0) }
        for index in 0..<c.layers {
            let probe = Probe(.block, index)
            progress(probe.name)
            let block = try parts.residentBlock(index)
            let input = try values.tensor(probe.previous(.patches), [side * side, c.width])
            try each(probe, .transformer, input) { try block($0, modulation: modulation, caption: caption, height: side, width: side) }
            states = try block(states, modulation: own.modulation, caption: ownCaption, height: side, width: side)
        }
        let last = try values.tensor(Probe(.block, c.layers - 1), [side * side, c.width])
        try each(Probe(.outputNorm), .transformer, last) { inputs in try inputs.map { try parts.outputNorm($0, embedding: embedding) } }
        func velocity(_ x: Tensor) throws -> Tensor { try parts.output(x, height: side * c.patch, width: side * c.patch) }
        try each(Probe(.output), .transformer, try values.tensor(Probe(.outputNorm), [side * side, c.width])) { try $0.map { try velocity($0) } }
        try take(Probe(.velocity).name, try states.map { try velocity(try parts.outputNorm($0, embedding: own.embedding)) })
    }

    private func control(_ progress: (String) -> Void) throws {
        guard let control = pipeline.configuration.control else { return }
        let (c, parts, side, own) = (control.branch, pipeline.parts, CertificateInputs.side, control.hasEmbedders)
        let (map, tokens) = (Shape([c.channels, side * c.patch, side * c.patch]), Shape([side * side, c.width]))
        let features = try values.rows(inputs.features, columns: c.captionChannels)
        let (latents, picture) = (try values.tensor(Probe(.start), map), try values.tensor(CertificateInputs.control, map))
        let around = try parts.residentControl()
        if own {
            try take(Probe(.controlModulation).name, [try around.conditioning.embed(time: inputs.flowTime, guidance: inputs.guidance).modulation])
            try each(Probe(.controlCaption), .controlnet, features) { inputs in try inputs.map { try around.conditioning.caption($0) } }
            try each(Probe(.controlPatches), .controlnet, latents) { inputs in try inputs.map { try around.patches($0) } }
        }
        try each(Probe(.controlInput), .controlnet, picture) { inputs in try inputs.map { try around.input($0) } }
        let caption = try values.tensor(Probe(own ? .controlCaption : .caption), [features.rows, c.width])
        let modulation = try values.tensor(Probe(own ? .controlModulation : .modulation), [6, c.width])
        let start = control.wiring == .nvlabs ? Probe(.block, 0) : Probe(own ? .controlPatches : .patches)
        var input = try values.tensor(start, tokens).plus(try values.tensor(Probe(.controlInput), tokens))
        for index in 0..<c.layers {
            let probe = Probe(.controlBlock, index)
            progress(probe.name)
            let resident = try parts.residentControlBlock(index)
            try each(probe, .controlnet, input) { try resident.block($0, modulation: modulation, caption: caption, height: side, width: side) }
            input = try values.tensor(probe, tokens)
            try each(Probe(.controlResidual, index), .controlnet, input) { inputs in try inputs.map { try resident.residual($0) } }
        }
        let transformer = try pipeline.transformer(isControlled: true)
        let (prompt, hint) = (try transformer.prompt(features), try transformer.hint(picture, scale: 1))
        let drawn = draws(.transformer) > 0 ? Component.transformer : .controlnet
        try each(Probe(.controlVelocity), drawn, latents) { inputs in
            try inputs.map { try transformer.velocity($0, time: self.inputs.flowTime, guidance: self.inputs.guidance, prompt: prompt, hint: hint) }
        }
    }

    private func decoder(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.vae else { return }
        let (parts, side, stages) = (pipeline.parts, CertificateInputs.mapSide, c.decoder.stages)
        let latents = try values.tensor(CertificateInputs.latents, [c.latentChannels, side, side])
        try each(Probe(.decoderConvolution), .vaeDecoder, latents) { inputs in try inputs.map { try parts.decoderInput($0) } }
        let opened = try values.tensor(Probe(.decoderConvolution), [stages[stages.count - 1].channels, side, side])
        var input = try parts.withShortcut(opened, latents: latents)
        for index in stages.indices.reversed() where stages[index].blocks > 0 {
            let probe = Probe(.decoderStage, index)
            progress(probe.name)
            try each(probe, .vaeDecoder, input) { try parts.decoderStage(index, $0) }
            input = try values.corner(probe.name, channels: stages[index].channels, side: side)
        }
        progress(Probe(.decoded).name)
        let corner = try values.corner(CertificateInputs.latents, channels: c.latentChannels, side: CertificateInputs.side)
        try each(Probe(.decoded), .vaeDecoder, corner) { try parts.decode($0) }
    }

    private func encoder(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.vae else { return }
        progress(Probe(.encoded).name)
        let (encoder, side) = (try pipeline.encoder(), CertificateInputs.side * c.compression)
        try each(Probe(.encoded), .vaeEncoder, try values.tensor(CertificateInputs.picture, [c.imageChannels, side, side])) { inputs in
            try inputs.map { try encoder.encode($0) }
        }
    }

    /// - Parameter body: runs the step on the input and its copies, with weights that are loaded once.
    private func each(_ probe: Probe, _ component: Component, _ input: Tensor, _ body: ([Tensor]) throws -> [Tensor]) throws {
        try take(probe.name, try body(try copies(input, component)))
    }

    /// The input, and as many copies with noise as are wanted.
    private func copies(_ x: Tensor, _ component: Component) throws(MachineError) -> [Tensor] {
        var result = [x]
        for draw in 0..<draws(component) {
            var numbers = TestNumbers(seed: UInt64(draw + 1))
            result.append(try Repetition.noisy(x, &numbers))
        }
        return result
    }
}
