import Inference
import Tensors

/// The steps of a model whose outputs a certificate holds, each fed the reference's values: an error cannot travel, the layer that is wrong shows.
///
/// Inputs are small: four tokens of a picture, some of a prompt, corners of three by three of the autoencoder's maps, which is as many as
/// its largest kernels have taps for.
struct CertificateWalk {
    let pipeline: SanaSprintPipeline
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
        if pipeline.has(.vaeDecoder) { try decoder(progress) }
        if pipeline.has(.vaeEncoder) { try encoder(progress) }
    }

    /// How often `run` reports progress.
    static func steps(_ pipeline: SanaSprintPipeline) -> Int {
        let c = pipeline.configuration
        var count = 0
        if pipeline.has(.textEncoder) { count += c.text?.layers ?? 0 }
        if pipeline.has(.transformer) { count += c.transformer.layers }
        if pipeline.has(.vaeDecoder) { count += 1 + (c.vae?.decoder.stages.count { $0.blocks > 0 } ?? 0) }
        if pipeline.has(.vaeEncoder) { count += 1 }
        return count
    }

    private func text(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.text else { return }
        let (parts, encoder, shape) = (pipeline.parts, try pipeline.textEncoder(), Shape([inputs.ids.count, c.width]))
        try take("text.embed", [try parts.embeddings(inputs.ids)])
        for index in 0..<c.layers {
            progress("text.layer.\(index)")
            let input = try values.tensor(index == 0 ? "text.embed" : "text.layer.\(index - 1)", shape)
            try each("text.layer.\(index)", .textEncoder, input) { inputs in try inputs.map { try encoder.layer(index, $0) } }
        }
        try each("text.norm", .textEncoder, try values.tensor("text.layer.\(c.layers - 1)", shape)) { inputs in try inputs.map { try parts.textNorm($0) } }
    }

    private func transformer(_ progress: (String) -> Void) throws {
        let (c, parts, side) = (pipeline.configuration.transformer, pipeline.parts, CertificateInputs.side)
        let features = try values.rows(inputs.features, columns: c.captionChannels)
        let latents = try values.tensor("input.latents", [c.channels, side * c.patch, side * c.patch])
        let conditioning = try parts.residentConditioning()
        let own = try conditioning.embed(time: inputs.flowTime, guidance: inputs.guidance)
        try take("dit.time_embed", [own.embedding])
        try take("dit.modulation", [own.modulation])
        try each("dit.caption", .transformer, features) { inputs in try inputs.map { try conditioning.caption($0) } }
        try each("dit.patch_embed", .transformer, latents) { inputs in try inputs.map { try parts.patchEmbedding($0) } }
        let caption = try values.tensor("dit.caption", [features.rows, c.width])
        let (embedding, modulation) = (try values.tensor("dit.time_embed", [1, c.width]), try values.tensor("dit.modulation", [6, c.width]))
        let ownCaption = try conditioning.caption(features)
        // The whole transformer on its own, on its way through the blocks.
        var states = try copies(latents, .transformer).map { try parts.patchEmbedding($0) }
        for index in 0..<c.layers {
            progress("dit.block.\(index)")
            let block = try parts.residentBlock(index)
            let input = try values.tensor(index == 0 ? "dit.patch_embed" : "dit.block.\(index - 1)", [side * side, c.width])
            try each("dit.block.\(index)", .transformer, input) { try block($0, modulation: modulation, caption: caption, height: side, width: side) }
            states = try block(states, modulation: own.modulation, caption: ownCaption, height: side, width: side)
        }
        let last = try values.tensor("dit.block.\(c.layers - 1)", [side * side, c.width])
        try each("dit.norm_out", .transformer, last) { inputs in try inputs.map { try parts.outputNorm($0, embedding: embedding) } }
        func velocity(_ x: Tensor) throws -> Tensor { try parts.output(x, height: side * c.patch, width: side * c.patch) }
        try each("dit.output", .transformer, try values.tensor("dit.norm_out", [side * side, c.width])) { try $0.map { try velocity($0) } }
        try take("dit.velocity", try states.map { try velocity(try parts.outputNorm($0, embedding: own.embedding)) })
    }

    private func decoder(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.vae else { return }
        let (parts, side, stages) = (pipeline.parts, CertificateInputs.mapSide, c.decoder.stages)
        let latents = try values.tensor("input.vae", [c.latentChannels, side, side])
        try each("vae.dec.conv_in", .vaeDecoder, latents) { inputs in try inputs.map { try parts.decoderInput($0) } }
        let opened = try values.tensor("vae.dec.conv_in", [stages[stages.count - 1].channels, side, side])
        var input = try parts.withShortcut(opened, latents: latents)
        for index in stages.indices.reversed() where stages[index].blocks > 0 {
            let name = "vae.dec.stage.\(index)"
            progress(name)
            try each(name, .vaeDecoder, input) { try parts.decoderStage(index, $0) }
            input = try values.corner(name, channels: stages[index].channels, side: side)
        }
        progress("vae.dec.image")
        let corner = try values.corner("input.vae", channels: c.latentChannels, side: CertificateInputs.side)
        try each("vae.dec.image", .vaeDecoder, corner) { try parts.decode($0) }
    }

    private func encoder(_ progress: (String) -> Void) throws {
        guard let c = pipeline.configuration.vae else { return }
        progress("vae.enc.latents")
        let (encoder, side) = (try pipeline.encoder(), CertificateInputs.side * c.compression)
        try each("vae.enc.latents", .vaeEncoder, try values.tensor("input.picture", [c.imageChannels, side, side])) { inputs in
            try inputs.map { try encoder.encode($0) }
        }
    }

    /// - Parameter body: runs the step on the input and its copies, with weights that are loaded once.
    private func each(_ name: String, _ component: Component, _ input: Tensor, _ body: ([Tensor]) throws -> [Tensor]) throws {
        try take(name, try body(try copies(input, component)))
    }

    /// The input, and as many copies with noise as are wanted.
    private func copies(_ x: Tensor, _ component: Component) throws(AllocationError) -> [Tensor] {
        var result = [x]
        for draw in 0..<draws(component) {
            var numbers = TestNumbers(seed: UInt64(draw + 1))
            let noise = numbers.vector(x.count)
            result.append(try Tensor(x.shape, x.elements.enumerated().map { $1 * (1 + Self.noise * noise[$0]) }))
        }
        return result
    }

    /// Relative size of the noise: some thirty times a rounding to float32, so that what lies near the edge of two integers shows.
    private static let noise: Float = 0x1p-19
}
