package import Operations
package import Tensors

/// The networks that turn time and guidance into the embedding that modulates the blocks.
///
/// Source: SanaCombinedTimestepGuidanceEmbeddings of diffusers, and AdaLayerNormSingle for models that are not told the guidance.
struct TimeEmbedding<E: Executor>: Sendable {
    private let executor: E
    private let time: Embedder
    /// Nil where nobody is told the guidance.
    private let guidance: Embedder?
    private let projection: ModulationProjection<E>

    private struct Embedder: Sendable {
        let executor: E
        let first: E.Linear
        let second: E.Linear

        func waves(of value: Double) throws(MachineError) -> E.Rows {
            try executor.rows(from: try Sinusoid.embed(value, channels: TimeEmbeddingRows.sinusoidChannels))
        }

        func callAsFunction(_ waves: E.Rows) throws(MachineError) -> E.Rows {
            try executor.multiply(try executor.multiply(waves, by: first, then: .silu), by: second)
        }
    }

    init(_ loader: WeightLoader<E>, _ rows: TimeEmbeddingRows) throws(InferenceError) {
        func embedder(_ rows: [Parameters]) throws(InferenceError) -> Embedder {
            Embedder(executor: loader.executor, first: try loader.linear(rows[0]), second: try loader.linear(rows[1]))
        }
        executor = loader.executor
        time = try embedder(rows.time)
        guidance = rows.guidance.isEmpty ? nil : try embedder(rows.guidance)
        projection = try ModulationProjection(loader, rows)
    }

    /// The embedding `[1, width]`, and its projection to the blocks' six vectors, `[1, 6 width]`.
    func callAsFunction(time: Double, guidance: Double) throws(MachineError) -> (embedding: E.Rows, modulation: E.Rows) {
        try self(try told(time: time, guidance: guidance))
    }

    /// The waves of time, and of guidance for models that are told it.
    func told(time: Double, guidance: Double) throws(MachineError) -> [E.Rows] {
        let waves = try self.time.waves(of: time)
        guard let network = self.guidance else { return [waves] }
        return [waves, try network.waves(of: guidance)]
    }

    func callAsFunction(_ told: [E.Rows]) throws(MachineError) -> (embedding: E.Rows, modulation: E.Rows) {
        var embedding = try self.time(told[0])
        if let network = self.guidance { embedding = try executor.sum(embedding, try network(told[1])) }
        return (embedding, try projection(embedding))
    }
}

/// What makes the blocks' six vectors of an embedding of time and guidance.
struct ModulationProjection<E: Executor>: Sendable {
    private let executor: E
    private let linear: E.Linear

    init(_ loader: WeightLoader<E>, _ rows: TimeEmbeddingRows) throws(InferenceError) {
        (executor, linear) = (loader.executor, try loader.linear(rows.modulation))
    }

    /// `[1, width]` to `[1, 6 width]`.
    func callAsFunction(_ embedding: E.Rows) throws(MachineError) -> E.Rows {
        try executor.multiply(try executor.activated(embedding, by: .silu), by: linear)
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
    package init(_ schedule: FrozenSchedule, _ c: TransformerConfiguration, from source: any WeightSource, on executor: some Executor) throws(InferenceError) {
        var table = TableBuilder()
        let rows = TimeEmbeddingRows(c.width, embedsGuidance: c.embedsGuidance, &table)
        let network = try TimeEmbedding(WeightLoader(source: source, on: executor), rows)
        (embedding, modulation) = try allocating { () throws(MachineError) in
            var results: [(embedding: Tensor, modulation: Tensor)] = []
            for row in schedule.rows {
                let (embedding, modulation) = try network(time: row.flowTime * c.timeScale, guidance: row.guidance * c.guidanceScale)
                results.append((try executor.tensor(from: embedding), try executor.tensor(from: modulation)))
            }
            let modulation = try Tensor(stacking: results.map(\.modulation))
            return (try Tensor(stacking: results.map(\.embedding)), modulation.reshaped([results.count, 6, c.width]))
        }
    }
}
