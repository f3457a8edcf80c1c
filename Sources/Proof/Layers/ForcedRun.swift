import Inference
import Parity
import Tensors

/// A model's layers, each fed what the reference's layer was fed: an error cannot travel, so the layer that is wrong is the one that shows.
struct ForcedRun {
    let pipeline: SanaSprintPipeline
    /// The probes of the reference's own run.
    let reference: ProbeCollector
    let steps: Int
    let guidance: Double

    /// Every layer of the text encoder, as `text.layer.I` of `[1, tokens, width]`.
    func textEncoder(into sink: ProbeCollector) throws(InferenceError) {
        let encoder = try pipeline.textEncoder()
        let tokens = reference.kept("text.attention_mask")
        for index in 0..<encoder.configuration.layers {
            let previous = index == 0 ? "text.embed" : "text.layer.\(index - 1)"
            guard let input = try wrap({ () throws(AllocationError) in try reference.rows(previous, tokens) }) else { continue }
            sink.record("text.layer.\(index)", EncodedTensor(try encoder.layer(index, input)).batched)
        }
    }

    /// Every block in every step as `dit.stepI.block.J`, and the whole transformer's `dit.stepI.output`.
    func transformer(into sink: ProbeCollector) throws(InferenceError) {
        let transformer = try pipeline.transformer()
        let configuration = transformer.configuration
        let tokens = reference.kept("prompt_mask")
        let caption = try wrap { () throws(AllocationError) in try reference.rows("dit.caption", tokens) }
        let features = try wrap { () throws(AllocationError) in try reference.rows("prompt_embeds", tokens) }
        guard let caption, let features else { return }
        let prompt = try transformer.prompt(features)
        for step in 0..<steps {
            let name = "dit.step\(step)."
            let latents = try wrap { () throws(AllocationError) in try reference.unbatched(name + "input") }
            let modulation = try wrap { () throws(AllocationError) in try reference.unbatched(name + "modulation") }
            guard let latents, let modulation, let time = reference[name + "timestep"]?.doubles.first else { continue }
            let (height, width) = (latents.shape[1] / configuration.patch, latents.shape[2] / configuration.patch)
            let rows = modulation.reshaped([6, configuration.width])
            for index in 0..<configuration.layers {
                let previous = index == 0 ? name + "patch_embed" : name + "block.\(index - 1)"
                guard let input = try wrap({ () throws(AllocationError) in try reference.rows(previous, height * width) }) else { continue }
                let output = try transformer.block(index, input, modulation: rows, caption: caption, height: height, width: width)
                sink.record(name + "block.\(index)", EncodedTensor(output).batched)
            }
            let output = try transformer.velocity(latents, time: time, guidance: guidance, prompt: prompt)
            sink.record(name + "output", EncodedTensor(output).batched)
        }
    }

    /// Every stage of the decoder as `vae.dec.stage.K`, and the picture of the reference's latents as `image`.
    func decoder(into sink: ProbeCollector) throws(InferenceError) {
        let decoder = try pipeline.decoder()
        guard let latents = try wrap({ () throws(AllocationError) in try reference.unbatched("vae.dec.input") }) else { return }
        for (index, stage) in decoder.configuration.decoder.stages.enumerated().reversed() where stage.blocks > 0 {
            guard let input = try stageInput(index, decoder.configuration, latents) else { continue }
            sink.record("vae.dec.stage.\(index)", EncodedTensor(try decoder.stage(index, input)).batched)
        }
        sink.record("image", EncodedTensor(try decoder.decode(latents)).batched)
    }

    /// What entered a stage in the reference's run, `[channels, h, w]`.
    private func stageInput(_ index: Int, _ configuration: AutoencoderConfiguration, _ latents: Tensor) throws(InferenceError) -> Tensor? {
        let isDeepest = index == configuration.decoder.stages.count - 1
        return try wrap { () throws(AllocationError) in
            guard isDeepest else { return try reference.unbatched("vae.dec.stage.\(index + 1)") }
            guard let opened = try reference.unbatched("vae.dec.conv_in") else { return nil }
            guard configuration.decoderShortcut else { return opened }
            // The shortcut around conv_in: each latent channel several times side by side (torch's repeat_interleave).
            let (area, repeats) = (opened.columns, opened.rows / latents.rows)
            let source = latents.elements
            let sums = opened.elements.enumerated().map { at, value in value + source[at / area / repeats * area + at % area] }
            return try Tensor(opened.shape, sums)
        }
    }

    private func wrap<Value>(_ body: () throws(AllocationError) -> Value) throws(InferenceError) -> Value {
        do throws(AllocationError) { return try body() } catch { throw .memory(error) }
    }
}
