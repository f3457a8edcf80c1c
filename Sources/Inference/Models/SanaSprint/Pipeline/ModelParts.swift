package import Operations
import StrictJSON
package import Tensors

/// The small steps between the probes of a trace, each alone and on given inputs: what a search for the step that is wrong runs.
///
/// Weights are loaded for each call and let go. Token matrices are `[tokens, channels]`, maps `[channels, h, w]`, as traces have them.
package struct ModelParts<E: Executor>: Sendable {
    package let configuration: SanaSprintConfiguration
    let loader: WeightLoader<E>
    let rows: TransformerRows

    /// - Parameter compute: the arithmetic of the transformer's matrix products with weights of 16 or 32 bits.
    package init(_ configuration: SanaSprintConfiguration, from source: any WeightSource, on executor: E, compute: Compute = .float32) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor, compute: compute)
        rows = TransformerRows(configuration.transformer, source.fusions, source.frozenSchedule)
    }

    private var transformer: TransformerConfiguration { configuration.transformer }

    // MARK: - Text

    /// Token embeddings as the first layer takes them; ids beyond the vocabulary count as the nearest within.
    package func embeddings(_ ids: [Int32]) throws(InferenceError) -> Tensor {
        let encoder = try textEncoder("embed tokens")
        let last = Int32(encoder.configuration.vocabulary - 1)
        return try encoder.embed(ids.map { min(max(0, $0), last) })
    }

    package func textLayer(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try textEncoder("run a layer").layer(index, x) }
    package func textNorm(_ x: Tensor) throws(InferenceError) -> Tensor { try textEncoder("norm hidden states").normed(x) }

    private func textEncoder(_ need: String) throws(InferenceError) -> Gemma2Encoder<E> {
        guard let text = configuration.text else { throw .missingComponent(.textEncoder, needed: need) }
        return Gemma2Encoder(text, from: loader.source, on: loader.executor)
    }

    // MARK: - Transformer

    package func caption(_ features: Tensor) throws(InferenceError) -> Tensor { try residentConditioning().caption(features) }

    /// The embedding of time and guidance, `[1, width]`.
    /// - Parameter guidance: as the probe `dit.guidance` has it, times the model's own factor.
    package func timeEmbedding(time: Double, guidance: Double) throws(InferenceError) -> Tensor {
        // The conditioning takes guidance as the user states it.
        let scale = transformer.guidanceScale
        return try residentConditioning().embed(time: time, guidance: scale == 0 ? 0 : guidance / scale).embedding
    }

    /// The projection `[1, 6 width]` of an embedding of time and guidance.
    package func modulation(_ embedding: Tensor) throws(InferenceError) -> Tensor {
        var table = TableBuilder()
        let rows = TimeEmbeddingRows(transformer.width, embedsGuidance: transformer.embedsGuidance, &table)
        let step = try ModulationProjection(loader, rows)
        return try allocating(try taken(step(try placed(embedding))))
    }

    package func patchEmbedding(_ latents: Tensor) throws(InferenceError) -> Tensor {
        let step = try PatchEmbedding(loader, rows.patch, transformer)
        return try allocating(try taken(step(latents)))
    }

    /// One block, loaded for this call; see `ResidentBlock` for the parameters.
    package func block(_ index: Int, _ x: Tensor, modulation: Tensor, caption: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
        try residentBlock(index)(x, modulation: modulation, caption: caption, height: height, width: width)
    }

    /// The last norm, modulated by the embedding of time and guidance.
    package func outputNorm(_ x: Tensor, embedding: Tensor) throws(InferenceError) -> Tensor {
        let step = try OutputProjection(loader, rows, transformer)
        return try allocating(try taken(step.norm(try placed(x), try placed(embedding))))
    }

    /// The velocity `[c, height, width]` of normed tokens.
    package func output(_ x: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
        let step = try OutputProjection(loader, rows, transformer)
        return try allocating(try step(try placed(x), height: height, width: width))
    }

    // MARK: - Autoencoder

    /// The decoder's first convolution, before its shortcut.
    package func decoderInput(_ latents: Tensor) throws(InferenceError) -> Tensor { try decoder.opened(latents) }

    /// `decoderInput` and the shortcut around it: what the deepest stage takes.
    package func withShortcut(_ opened: Tensor, latents: Tensor) throws(InferenceError) -> Tensor { try decoder.withShortcut(opened, latents: latents) }

    package func decoderStage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try decoderStage(index, [x])[0] }

    /// The same for several maps, with weights that are loaded once.
    package func decoderStage(_ index: Int, _ maps: [Tensor]) throws(InferenceError) -> [Tensor] { try decoder.stage(index, maps) }

    /// The picture of the highest stage's map; nil where the last convolution also doubles the picture, which is no step of its own.
    package func picture(_ x: Tensor) throws(InferenceError) -> Tensor? {
        let decoder = try decoder
        return decoder.configuration.decoder.hasTopStage ? try decoder.picture(x) : nil
    }

    /// The picture of latents, by the whole decoder.
    package func decode(_ latents: Tensor) throws(InferenceError) -> Tensor { try decode([latents])[0] }

    /// The same for several latents, with weights that are loaded once.
    package func decode(_ latents: [Tensor]) throws(InferenceError) -> [Tensor] { try decoder.decode(latents) }

    /// The latents of a picture, by the whole encoder.
    package func encode(_ image: Tensor) throws(InferenceError) -> Tensor {
        guard let vae = configuration.vae else { throw .missingComponent(.vaeEncoder, needed: "run the encoder") }
        return try AutoencoderEncoder(vae, from: loader.source, on: loader.executor).encode(image)
    }

    package func encoderStage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        guard let vae = configuration.vae else { throw .missingComponent(.vaeEncoder, needed: "run the encoder") }
        return try AutoencoderEncoder(vae, from: loader.source, on: loader.executor).stage(index, x)
    }

    private var decoder: AutoencoderDecoder<E> {
        get throws(InferenceError) {
            guard let vae = configuration.vae else { throw .missingComponent(.vaeDecoder, needed: "run the decoder") }
            return AutoencoderDecoder(vae, from: loader.source, on: loader.executor)
        }
    }

    private func placed(_ x: Tensor) throws(MachineError) -> E.Rows { try loader.executor.rows(from: x) }
    private func taken(_ x: E.Rows) throws(MachineError) -> Tensor { try loader.executor.tensor(from: x) }
}
