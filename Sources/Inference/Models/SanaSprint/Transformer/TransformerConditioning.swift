import Tensors

/// The transformer's small networks around its blocks: time and guidance, and the prompt's projection.
///
/// Source: SanaCombinedTimestepGuidanceEmbeddings and PixArtAlphaTextProjection of diffusers.
struct TransformerConditioning: Sendable {
    private let time: Embedder
    private let guidance: Embedder
    private let modulation: Linear
    private let captionIn: Linear
    private let captionOut: Linear
    private let captionNorm: RMSNorm
    private let exactGELU: Bool

    private struct Embedder: Sendable {
        let first: Linear
        let second: Linear

        func callAsFunction(_ value: Double) throws(AllocationError) -> Tensor {
            var hidden = try first(try Sinusoid.embed(value, channels: SanaSprintWeights.sinusoidChannels))
            Activation.silu.apply(&hidden)
            return try second(hidden)
        }
    }

    init(_ loader: WeightLoader, _ c: TransformerConfiguration) throws(WeightError) {
        func embedder(_ name: String) throws(WeightError) -> Embedder {
            Embedder(
                first: try loader.linear("dit.\(name).in", c.width, SanaSprintWeights.sinusoidChannels, bias: true),
                second: try loader.linear("dit.\(name).out", c.width, c.width, bias: true))
        }
        time = try embedder("time")
        guidance = try embedder("guidance")
        modulation = try loader.linear("dit.modulation", 6 * c.width, c.width, bias: true)
        captionIn = try loader.linear("dit.caption.in", c.width, c.captionChannels, bias: true)
        captionOut = try loader.linear("dit.caption.out", c.width, c.width, bias: true)
        exactGELU = loader.source.deviations.exactGELU
        captionNorm = try loader.norm("dit.caption.norm", c.width, epsilon: 1e-5)
    }

    /// The embedding of time and guidance, `[1, width]`, and its projection to the blocks' six vectors, `[6, width]`.
    func embed(time: Double, guidance: Double) throws(AllocationError) -> (embedding: Tensor, modulation: Tensor) {
        let embedding = try self.time(time).adding(try self.guidance(guidance))
        var hidden = try embedding.copy()
        Activation.silu.apply(&hidden)
        return (embedding, try modulation(hidden).reshaped([6, embedding.columns]))
    }

    /// The prompt's features `[tokens, captionChannels]` at the transformer's width, normed.
    func caption(_ features: Tensor) throws(AllocationError) -> Tensor {
        var hidden = try captionIn(features)
        if exactGELU { hidden.applyExactGELU() } else { hidden.applyGELU() }
        return try captionNorm(try captionOut(hidden))
    }
}
