import Operations
import Tensors

/// The transformer's small networks around its blocks: time and guidance, and the prompt's projection.
///
/// Source: SanaCombinedTimestepGuidanceEmbeddings and PixArtAlphaTextProjection of diffusers.
struct TransformerConditioning: Sendable {
    private let executor: CPU
    private let timing: Timing
    private let guidanceScale: Double
    private let captionIn: Linear
    private let captionOut: Linear
    private let captionNorm: RMSNorm
    private let exactGELU: Bool

    private enum Timing: Sendable {
        case networks(TimeEmbedding)
        case tables(ScheduleTables, FrozenSchedule)
    }

    init(_ loader: WeightLoader, _ rows: TransformerRows, _ c: TransformerConfiguration) throws(WeightError) {
        executor = loader.executor
        guidanceScale = c.guidanceScale
        switch rows.timing {
        case .tables(let embedding, let modulation, let schedule): timing = .tables(try ScheduleTables(loader, embedding, modulation), schedule)
        case .networks(let rows):
            // One row each: bfloat16 would save nothing, and what it rounds off would shift every token alike.
            timing = .networks(try TimeEmbedding(WeightLoader(source: loader.source, on: loader.executor, built: loader.built), rows))
        }
        captionIn = try loader.linear(rows.captionIn)
        captionOut = try loader.linear(rows.captionOut)
        exactGELU = loader.source.deviations.exactGELU
        captionNorm = try loader.norm(rows.captionNorm, epsilon: 1e-5)
    }

    /// The embedding of time and guidance, `[1, width]`, and its projection to the blocks' six vectors, `[6, width]`.
    ///
    /// - Parameter guidance: as the user states it.
    func embed(time: Double, guidance: Double) throws(InferenceError) -> (embedding: Tensor, modulation: Tensor) {
        switch timing {
        case .networks(let network):
            return try InferenceError.wrap { () throws(AllocationError) in try network(time: time, guidance: guidance * guidanceScale) }
        case .tables(let tables, let schedule):
            guard let row = schedule.row(flowTime: time, guidance: guidance) else {
                throw .request(
                    subject: "flow time and guidance", expected: "those of \(schedule.description), which the file was frozen for",
                    found: "\(time) with \(guidance)")
            }
            return try InferenceError.wrap { () throws(AllocationError) in try tables.row(row) }
        }
    }

    /// The prompt's features `[tokens, captionChannels]` at the transformer's width, normed.
    func caption(_ features: Tensor) throws(AllocationError) -> Tensor {
        var hidden = try captionIn(features)
        if exactGELU { executor.applyExactGELU(to: &hidden) } else { executor.applyGELU(to: &hidden) }
        return try captionNorm(try captionOut(hidden))
    }
}
