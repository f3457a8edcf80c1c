import Inference
import Operations
import Parity
import ProbePoints
import Tensors

/// A model's layers, each fed what the reference's layer was fed: an error cannot travel, so the layer that is wrong is the one that shows.
struct ForcedRun {
    let pipeline: SanaSprintPipeline<CPU>
    /// The probes of the reference's own run.
    let reference: ProbeCollector
    let steps: Int
    let guidance: Double

    /// Every layer of the text encoder, as `text.layer.I` of `[1, tokens, width]`.
    func textEncoder(into sink: ProbeCollector) throws(InferenceError) {
        let encoder = try pipeline.textEncoder()
        let tokens = reference.kept(Probe(.attentionMask))
        for index in 0..<encoder.configuration.layers {
            let probe = Probe(.textLayer, index)
            guard let input = try allocating(try reference.rows(probe.previous(.embeddings), tokens)) else { continue }
            sink.record(probe, EncodedTensor(try encoder.layer(index, input)).batched)
        }
    }

    /// Every block in every step as `dit.stepI.block.J`, and the whole transformer's `dit.stepI.output`. Each block is loaded once, for all of it.
    func transformer(into sink: ProbeCollector) throws(InferenceError) {
        let (parts, patch) = (pipeline.parts, pipeline.configuration.transformer.patch)
        let tokens = reference.kept(Probe(.promptMask))
        let caption = try allocating(try reference.rows(Probe(.caption), tokens))
        let features = try allocating(try reference.rows(Probe(.promptEmbeds), tokens))
        guard let caption, let features else { return }
        let ownCaption = try parts.caption(features)
        var states: [FreeState] = []
        for step in 0..<steps { if let state = try freeState(step, parts, patch) { states.append(state) } }
        for index in 0..<pipeline.configuration.transformer.layers {
            let block = try parts.residentBlock(index)
            for place in states.indices {
                let (state, probe) = (states[place], Probe(.block, index, step: states[place].step))
                let (height, width) = (state.height / patch, state.width / patch)
                let input = try allocating(try reference.rows(probe.previous(.patches), height * width))
                let modulation = try allocating(try reference.unbatched(Probe(.modulation, step: probe.step)))
                if let input, let modulation {
                    let output = try block(input, modulation: modulation, caption: caption, height: height, width: width)
                    sink.record(probe, EncodedTensor(output).batched)
                }
                states[place].x = try block(state.x, modulation: state.modulation, caption: ownCaption, height: height, width: width)
            }
        }
        for state in states {
            let velocity = try parts.output(try parts.outputNorm(state.x, embedding: state.embedding), height: state.height, width: state.width)
            sink.record(Probe(.output, step: state.step), EncodedTensor(velocity).batched)
        }
    }

    /// The whole transformer in one step, on its way through the blocks.
    private struct FreeState {
        let step: Int
        /// Of the latents.
        let height: Int
        let width: Int
        let embedding: Tensor
        let modulation: Tensor
        var x: Tensor
    }

    /// Before the first block, from the reference's latents; nil where they were not recorded.
    private func freeState(_ step: Int, _ parts: ModelParts<CPU>, _ patch: Int) throws(InferenceError) -> FreeState? {
        let latents = try allocating(try reference.unbatched(Probe(.input, step: step)))
        guard let latents, let time = reference[Probe(.timestep, step: step)]?.doubles.first else { return nil }
        let (embedding, modulation) = try parts.residentConditioning().embed(time: time, guidance: guidance)
        return FreeState(
            step: step, height: latents.shape[1], width: latents.shape[2], embedding: embedding, modulation: modulation, x: try parts.patchEmbedding(latents))
    }

    /// Every stage of the decoder as `vae.dec.stage.K`, and the picture of the reference's latents as `image`.
    func decoder(into sink: ProbeCollector) throws(InferenceError) {
        let decoder = try pipeline.decoder()
        guard let latents = try allocating(try reference.unbatched(Probe(.decoderInput))) else { return }
        for (index, stage) in decoder.configuration.decoder.stages.enumerated().reversed() where stage.blocks > 0 {
            guard let input = try stageInput(index, decoder.configuration, latents) else { continue }
            sink.record(Probe(.decoderStage, index), EncodedTensor(try decoder.stage(index, input)).batched)
        }
        sink.record(Probe(.image), EncodedTensor(try decoder.decode(latents)).batched)
    }

    /// Every stage of the encoder as `vae.enc.stage.K`.
    func encoder(into sink: ProbeCollector) throws(InferenceError) {
        for (index, stage) in (pipeline.configuration.vae?.encoder.stages ?? []).enumerated() where stage.blocks > 0 {
            let probe = Probe(.encoderStage, index)
            guard let input = try allocating(try reference.unbatched(probe.previous(.encoderConvolution))) else { continue }
            sink.record(probe, EncodedTensor(try pipeline.parts.encoderStage(index, input)).batched)
        }
    }

    /// What entered a stage of the decoder in the reference's run, `[channels, h, w]`.
    private func stageInput(_ index: Int, _ configuration: AutoencoderConfiguration, _ latents: Tensor) throws(InferenceError) -> Tensor? {
        let isDeepest = index == configuration.decoder.stages.count - 1
        return try allocating { () throws(MachineError) in
            guard isDeepest else { return try reference.unbatched(Probe(.decoderStage, index + 1)) }
            guard let opened = try reference.unbatched(Probe(.decoderConvolution)) else { return nil }
            guard configuration.decoderShortcut else { return opened }
            // The shortcut around conv_in: each latent channel several times side by side (torch's repeat_interleave).
            let (area, repeats) = (opened.columns, opened.rows / latents.rows)
            let source = latents.elements
            let sums = opened.elements.enumerated().map { at, value in value + source[at / area / repeats * area + at % area] }
            return try Tensor(opened.shape, sums)
        }
    }
}
