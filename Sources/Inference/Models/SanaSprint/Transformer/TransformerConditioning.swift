import Operations
import Tensors

/// The transformer's small networks around its blocks: time and guidance, and the prompt's projection.
///
/// Source: SanaCombinedTimestepGuidanceEmbeddings and PixArtAlphaTextProjection of diffusers.
struct TransformerConditioning<E: Executor>: Sendable {
    private let executor: E
    private let timing: Timing
    private let guidanceScale: Double
    private let timeScale: Double
    private let captionIn: E.Linear
    private let captionOut: E.Linear
    private let captionNorm: E.Norm
    private let gelu: Nonlinearity

    private enum Timing: Sendable {
        case networks(TimeEmbedding<E>)
        /// The rows of `ScheduleTables`.
        case tables(embedding: E.Rows, modulation: E.Rows, FrozenSchedule)
    }

    init(_ loader: WeightLoader<E>, _ rows: ConditioningRows, _ c: TransformerConfiguration) throws(InferenceError) {
        executor = loader.executor
        (guidanceScale, timeScale) = (c.guidanceScale, c.timeScale)
        switch rows.timing {
        case .tables(let embedding, let modulation, let schedule):
            timing = .tables(embedding: try loader.rows(embedding), modulation: try loader.rows(modulation), schedule)
        case .networks(let rows):
            // One row each: bfloat16 would save nothing, and what it rounds off would shift every token alike.
            timing = .networks(try TimeEmbedding(WeightLoader(source: loader.source, on: loader.executor, built: loader.built), rows))
        }
        captionIn = try loader.linear(rows.captionIn)
        captionOut = try loader.linear(rows.captionOut)
        gelu = loader.source.deviations.exactGELU ? .exactGELU : .gelu
        captionNorm = try loader.norm(rows.captionNorm, epsilon: 1e-5)
    }

    /// The embedding of time and guidance, `width` values, and its projection to the blocks' six vectors.
    ///
    /// - Parameters:
    ///   - time: flow time in [0, 1].
    ///   - guidance: as the user states it.
    func embed(time: Double, guidance: Double) throws(InferenceError) -> (embedding: E.Rows, modulation: E.Rows) {
        let told = try told(time: time, guidance: guidance)
        return try allocating(try embed(told))
    }

    /// What is different for each time and guidance.
    func told(time: Double, guidance: Double) throws(InferenceError) -> [E.Rows] {
        switch timing {
        case .networks(let network):
            return try allocating(try network.told(time: time * timeScale, guidance: guidance * guidanceScale))
        case .tables(let embedding, let modulation, let schedule):
            guard let row = schedule.row(flowTime: time, guidance: guidance) else {
                throw .request(
                    subject: "flow time and guidance", expected: "those of \(schedule.description), which the file was frozen for",
                    found: "\(time) with \(guidance)")
            }
            return try allocating([try executor.row(row, of: embedding), try executor.row(row, of: modulation)])
        }
    }

    func embed(_ told: [E.Rows]) throws(MachineError) -> (embedding: E.Rows, modulation: E.Rows) {
        switch timing {
        case .networks(let network): try network(told)
        case .tables: (told[0], told[1])
        }
    }

    /// The prompt's features `[tokens, captionChannels]` at the transformer's width, normed.
    func caption(_ features: Tensor) throws(MachineError) -> E.Rows {
        let hidden = try executor.multiply(try executor.rows(from: features), by: captionIn, then: gelu)
        return try executor.normed(try executor.multiply(hidden, by: captionOut), by: captionNorm)
    }
}
