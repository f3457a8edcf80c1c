package import Operations
package import Tensors

/// The networks that turn time and guidance into the embedding that modulates the blocks.
///
/// Source: SanaCombinedTimestepGuidanceEmbeddings of diffusers.
struct TimeEmbedding: Sendable {
    private let executor: CPU
    private let time: Embedder
    private let guidance: Embedder
    private let projection: ModulationProjection

    private struct Embedder: Sendable {
        let executor: CPU
        let first: Linear
        let second: Linear

        func callAsFunction(_ value: Double) throws(AllocationError) -> Tensor {
            var hidden = try first(try Sinusoid.embed(value, channels: TimeEmbeddingRows.sinusoidChannels))
            executor.apply(.silu, to: &hidden)
            return try second(hidden)
        }
    }

    init(_ loader: WeightLoader, _ rows: TimeEmbeddingRows) throws(WeightError) {
        func embedder(_ rows: [Parameters]) throws(WeightError) -> Embedder {
            Embedder(executor: loader.executor, first: try loader.linear(rows[0]), second: try loader.linear(rows[1]))
        }
        executor = loader.executor
        time = try embedder(rows.time)
        guidance = try embedder(rows.guidance)
        projection = try ModulationProjection(loader, rows)
    }

    /// The embedding `[1, width]`, and its projection to the blocks' six vectors, `[6, width]`.
    func callAsFunction(time: Double, guidance: Double) throws(AllocationError) -> (embedding: Tensor, modulation: Tensor) {
        let embedding = try executor.sum(try self.time(time), try self.guidance(guidance))
        return (embedding, try projection(embedding).reshaped([6, embedding.columns]))
    }
}

/// What makes the blocks' six vectors of an embedding of time and guidance.
struct ModulationProjection: Sendable {
    private let executor: CPU
    private let linear: Linear

    init(_ loader: WeightLoader, _ rows: TimeEmbeddingRows) throws(WeightError) {
        (executor, linear) = (loader.executor, try loader.linear(rows.modulation))
    }

    /// `[1, width]` to `[1, 6 width]`.
    func callAsFunction(_ embedding: Tensor) throws(AllocationError) -> Tensor {
        var hidden = try embedding.copy()
        executor.apply(.silu, to: &hidden)
        return try linear(hidden)
    }
}

/// The tables of a frozen schedule: what `TimeEmbedding` gives for each of its rows.
package struct ScheduleTables: Sendable {
    /// `[rows, width]`.
    package let embedding: Tensor
    /// `[rows, 6, width]`.
    package let modulation: Tensor

    static let embeddingName = "dit.schedule.embedding"
    package static let modulationName = "dit.schedule.modulation"
    package static let names = [embeddingName, modulationName]

    /// Computes the tables with the networks' weights, one row after the other as a run without tables does.
    package init(_ schedule: FrozenSchedule, _ c: TransformerConfiguration, from source: any WeightSource, on executor: CPU) throws(InferenceError) {
        var table = TableBuilder()
        let rows = TimeEmbeddingRows(c.width, &table)
        let network = try InferenceError.loading { () throws(WeightError) in try TimeEmbedding(WeightLoader(source: source, on: executor), rows) }
        (embedding, modulation) = try InferenceError.wrap { () throws(AllocationError) in
            var results: [(embedding: Tensor, modulation: Tensor)] = []
            for row in schedule.rows { results.append(try network(time: row.flowTime, guidance: row.guidance * c.guidanceScale)) }
            let modulation = try Tensor(stacking: results.map(\.modulation))
            return (try Tensor(stacking: results.map(\.embedding)), modulation.reshaped([results.count, 6, c.width]))
        }
    }

    /// Loads the tables of a file.
    init(_ loader: WeightLoader, _ embedding: WeightRow, _ modulation: WeightRow) throws(WeightError) {
        (self.embedding, self.modulation) = (try loader.tensor(embedding), try loader.tensor(modulation))
    }

    /// One row, as `TimeEmbedding` gives it.
    func row(_ index: Int) throws(AllocationError) -> (embedding: Tensor, modulation: Tensor) {
        (try embedding.rows([index]), try modulation.rows([index]).reshaped([6, embedding.columns]))
    }
}
