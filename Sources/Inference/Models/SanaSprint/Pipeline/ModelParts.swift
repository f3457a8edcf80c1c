package import Operations
import StrictJSON
package import Tensors

/// The small steps between the probes of a trace, each alone and on given inputs: what a search for the step that is wrong runs.
///
/// Weights are loaded for each call and let go. Token matrices are `[tokens, channels]`, maps `[channels, h, w]`, as traces have them.
package struct ModelParts: Sendable {
    package let configuration: SanaSprintConfiguration
    let loader: WeightLoader

    package init(_ configuration: SanaSprintConfiguration, from source: any WeightSource, on executor: CPU) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor)
    }

    private var transformer: TransformerConfiguration { configuration.transformer }

    // MARK: - Text

    /// Token embeddings as the first layer takes them.
    package func embeddings(_ ids: [Int32]) throws(InferenceError) -> Tensor {
        guard let text = configuration.text else { throw .missingComponent(.textEncoder, needed: "embed tokens") }
        let wanted = ids.map { min(max(0, Int($0)), text.vocabulary - 1) }
        // The table is the largest weight of all: only the rows of these tokens are read.
        let distinct = Set(wanted).sorted()
        let places = Dictionary(uniqueKeysWithValues: distinct.enumerated().map { ($0.element, $0.offset) })
        let stored = try loading { () throws(WeightError) in
            try loader.rows(distinct, of: "text.embed.weight", [text.vocabulary, text.width])
        }
        let scale = Double(text.width).squareRoot()
        return try wrap { () throws(AllocationError) in
            var result = try stored.widened().rows(wanted.map { places[$0] ?? 0 })
            var elements = result.mutableSpan
            for index in elements.indices { elements[index] = Float(Double(elements[index]) * scale) }
            return result
        }
    }

    package func textLayer(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        guard let text = configuration.text else { throw .missingComponent(.textEncoder, needed: "run a layer") }
        return try Gemma2Encoder(text, from: loader.source, on: loader.executor).layer(index, x)
    }

    package func textNorm(_ x: Tensor) throws(InferenceError) -> Tensor {
        guard let text = configuration.text else { throw .missingComponent(.textEncoder, needed: "norm hidden states") }
        let norm = try loading { () throws(WeightError) in try loader.norm("text.norm", text.width, offset: 1, epsilon: text.normEpsilon) }
        return try wrap { () throws(AllocationError) in try norm(x) }
    }

    // MARK: - Transformer

    package func caption(_ features: Tensor) throws(InferenceError) -> Tensor {
        let conditioning = try loading { () throws(WeightError) in try TransformerConditioning(loader, transformer) }
        return try wrap { () throws(AllocationError) in try conditioning.caption(features) }
    }

    /// The embedding of time and guidance, `[1, width]`.
    /// - Parameter guidance: as the probe `dit.guidance` has it, times the model's own factor.
    package func timeEmbedding(time: Double, guidance: Double) throws(InferenceError) -> Tensor {
        let conditioning = try loading { () throws(WeightError) in try TransformerConditioning(loader, transformer) }
        // The conditioning takes guidance as the user states it.
        let scale = transformer.guidanceScale
        return try conditioning.embed(time: time, guidance: scale == 0 ? 0 : guidance / scale).embedding
    }

    /// The projection `[1, 6 width]` of an embedding of time and guidance.
    package func modulation(_ embedding: Tensor) throws(InferenceError) -> Tensor {
        let projection = try loading { () throws(WeightError) in
            try loader.linear("dit.modulation", 6 * transformer.width, transformer.width, bias: true)
        }
        return try wrap { () throws(AllocationError) in
            var hidden = try embedding.copy()
            loader.executor.apply(.silu, to: &hidden)
            return try projection(hidden)
        }
    }

    package func patchEmbedding(_ latents: Tensor) throws(InferenceError) -> Tensor {
        let projection = try loading { () throws(WeightError) in
            try loader.linear("dit.patch", transformer.width, transformer.patchChannels, bias: true)
        }
        return try wrap { () throws(AllocationError) in try projection(try Patches.unfold(latents, size: transformer.patch)) }
    }

    /// One block, loaded for this call; see `ResidentBlock` for the parameters.
    package func block(_ index: Int, _ x: Tensor, modulation: Tensor, caption: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
        try residentBlock(index)(x, modulation: modulation, caption: caption, height: height, width: width)
    }

    /// The last norm, modulated by the embedding of time and guidance.
    package func outputNorm(_ x: Tensor, embedding: Tensor) throws(InferenceError) -> Tensor {
        let table = try loading { () throws(WeightError) in try loader.tensor("dit.out.table", [2, transformer.width]) }
        return try wrap { () throws(AllocationError) in
            var (shift, scale) = (try table.row(0), try table.row(1))
            loader.executor.add(embedding, to: &shift)
            loader.executor.add(embedding, to: &scale)
            return try loader.executor.apply(ModulatedNorm(scale: scale, shift: shift, epsilon: SanaTransformer.outputEpsilon), to: x)
        }
    }

    /// The velocity `[c, height, width]` of normed tokens.
    package func output(_ x: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
        let projection = try loading { () throws(WeightError) in try loader.linear("dit.out", transformer.patchChannels, transformer.width, bias: true) }
        return try wrap { () throws(AllocationError) in
            try Patches.fold(try projection(x), size: transformer.patch, channels: transformer.channels, height: height, width: width)
        }
    }

    // MARK: - Autoencoder

    /// The decoder's first convolution, before its shortcut.
    package func decoderInput(_ latents: Tensor) throws(InferenceError) -> Tensor {
        let vae = try autoencoder("run the decoder")
        let deepest = vae.decoder.stages[vae.decoder.stages.count - 1].channels
        return try convolution("vae.dec.conv_in", latents, deepest, vae.latentChannels)
    }

    /// `decoderInput` and the shortcut around it: what the deepest stage takes.
    package func withShortcut(_ opened: Tensor, latents: Tensor) throws(InferenceError) -> Tensor {
        guard try autoencoder("run the decoder").decoderShortcut else { return opened }
        return try wrap { () throws(AllocationError) in
            var x = try ImageLayout.channelsLast(opened)
            Shortcuts.addRepeated(try ImageLayout.channelsLast(latents), to: &x)
            return try ImageLayout.channelsFirst(x)
        }
    }

    package func decoderStage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try decoderStage(index, [x])[0] }

    /// The same for several maps, with weights that are loaded once.
    package func decoderStage(_ index: Int, _ maps: [Tensor]) throws(InferenceError) -> [Tensor] {
        try AutoencoderDecoder(try autoencoder("run the decoder"), from: loader.source, on: loader.executor).stage(index, maps)
    }

    /// The picture of the highest stage's map; nil where the last convolution also doubles the picture, which is no step of its own.
    package func picture(_ x: Tensor) throws(InferenceError) -> Tensor? {
        let vae = try autoencoder("run the decoder")
        guard vae.decoder.hasTopStage else { return nil }
        let norm = try loading { () throws(WeightError) in
            try loader.norm("vae.dec.norm", vae.decoder.topChannels, bias: true, epsilon: AutoencoderConfiguration.normEpsilon)
        }
        let hidden = try wrap { () throws(AllocationError) in
            var hidden = try norm(try ImageLayout.channelsLast(x))
            loader.executor.apply(vae.outputActivation, to: &hidden)
            return try ImageLayout.channelsFirst(hidden)
        }
        return try convolution("vae.dec.conv_out", hidden, vae.imageChannels, vae.decoder.topChannels)
    }

    /// The picture of latents, by the whole decoder.
    package func decode(_ latents: Tensor) throws(InferenceError) -> Tensor { try decode([latents])[0] }

    /// The same for several latents, with weights that are loaded once.
    package func decode(_ latents: [Tensor]) throws(InferenceError) -> [Tensor] {
        try AutoencoderDecoder(try autoencoder("run the decoder"), from: loader.source, on: loader.executor).decode(latents)
    }

    package func encoderStage(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor {
        try AutoencoderEncoder(try autoencoder("run the encoder"), from: loader.source, on: loader.executor).stage(index, x)
    }

    private func autoencoder(_ need: String) throws(InferenceError) -> AutoencoderConfiguration {
        guard let vae = configuration.vae else { throw .missingComponent(.vaeDecoder, needed: need) }
        return vae
    }

    private func convolution(_ name: String, _ x: Tensor, _ outputs: Int, _ inputs: Int) throws(InferenceError) -> Tensor {
        let convolution = try loading { () throws(WeightError) in try loader.convolution(name, outputs, inputs) }
        return try wrap { () throws(AllocationError) in try ImageLayout.channelsFirst(try convolution(try ImageLayout.channelsLast(x))) }
    }

    private func wrap<Value>(_ body: () throws(AllocationError) -> Value) throws(InferenceError) -> Value { try InferenceError.wrap(body) }
    private func loading<Value>(_ body: () throws(WeightError) -> Value) throws(InferenceError) -> Value { try InferenceError.loading(body) }
}
