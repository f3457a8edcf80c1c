import Conversion
import Inference
import Operations
import Tensors

/// Measures what rough rounding of each unit alone does to velocities (`Impacts`).
///
/// Every linear goes its own way to the velocity: what it does to the tokens of its block alone says less. Text layers act through the features: what
/// those are off by is taken for the velocity's in the proportion that rounding all of them has.
struct ImpactMeasurement {
    let pipeline: SanaSprintPipeline<CPU>
    let weights: CheckpointWeights
    let executor: CPU
    let units: Impacts.Units

    /// The largest side of latents: of fewer tokens, attention says little of what it does to many.
    private static let mostSide = 8
    /// Pictures, each of a prompt, and steps of each.
    private static let (mostDraws, steps) = (8, 2)

    /// Passes over a block or a text layer.
    static func passes(_ configuration: SanaSprintConfiguration) -> Int { steps * configuration.transformer.layers + (configuration.text?.layers ?? 0) }

    /// - Parameters:
    ///   - prompts: of the draws, and their places in the list.
    ///   - progress: is told before each pass over a block or layer.
    func run(_ prompts: [String], _ places: [Int], _ progress: () -> Void) throws(InferenceError) -> [String: [Double]] {
        var draws = try Draws(pipeline, prompts: prompts, steps: Self.steps, mostSide: Self.mostSide, withInstruction: false)
        let batch = try draws.draws(Array(places.prefix(Self.mostDraws)))
        let text = try textImpacts(batch.indices.map { prompts[places[$0] % prompts.count] }, progress)
        let exact = parts(weights)
        let candidates = units.linears.map { VelocityWave.Candidate($0, parts(rounded([$0]))) }
        let wave = VelocityWave(exact: exact, file: exact, guidance: draws.guidance)
        var (errors, step) = ([String: [Double]](), 0)
        _ = try draws.walk(batch) { time, inputs, features throws(InferenceError) in
            defer { step += 1 }
            let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
            let velocities = try exact.velocities(draws.guidance, [moment], features, progress)[0]
            let moved = try text.map { text throws(InferenceError) in try exact.velocities(draws.guidance, [moment], text.whole)[0] }
            // Other draws are worth more than other steps of the same.
            let measured = inputs.indices.filter { $0 % Self.steps == step % Self.steps }
            var results: [VelocityWave.Result] = []
            for start in stride(from: 0, to: measured.count, by: drawsAtOnce(inputs[0])) {
                let group = measured[start..<min(start + drawsAtOnce(inputs[0]), measured.count)]
                results += try wave.run(
                    time: time, inputs: group.map { inputs[$0] }, features: group.map { features[$0] }, candidates: candidates,
                    known: group.map { velocities[$0] })
            }
            for (draw, result) in zip(measured, results) {
                for (index, name) in units.linears.enumerated() { errors[name, default: []].append(result.kept[index]) }
                guard let text, let moved else { continue }
                let error = MeasuredModels.error(velocities[draw], moved[draw])
                for (unit, shares) in text.shares { errors[unit, default: []].append(error * shares[draw]) }
            }
            return velocities
        }
        return errors
    }

    /// As many as the memory for their streams lets.
    private func drawsAtOnce(_ input: Tensor) -> Int {
        let c = pipeline.configuration.transformer
        let bytes = units.linears.count * input.shape[1] * input.shape[2] / (c.patch * c.patch) * c.width * MemoryLayout<Float>.stride
        return max(1, Impacts.mostStreamBytes / max(1, bytes))
    }

    private func rounded(_ names: [String]) -> RoundedWeights { RoundedWeights(checkpoint: weights, rounded: Set(names)) }
    private func parts(_ weights: any WeightSource) -> ModelParts<CPU> { ModelParts(pipeline.configuration, from: weights, on: executor) }

    /// Features with all units of the text encoder rounded, and what each of them has in their error; nil without a text encoder.
    private func textImpacts(_ prompts: [String], _ progress: () -> Void) throws(InferenceError) -> (whole: [Tensor], shares: [String: [Double]])? {
        guard pipeline.has(.textEncoder), !units.text.isEmpty else { return nil }
        let other = try SanaSprintPipeline(weights: rounded(Array(units.text.values.joined())), on: executor)
        let wave = FeatureWave(own: try pipeline.textEncoder(), other: try other.textEncoder())
        let read = try pipeline.tokenized(prompts, withInstruction: false)
        let result = try wave.run(read.map(\.ids), progress)
        func features(_ hidden: [Tensor]) throws(InferenceError) -> [Tensor] {
            try zip(read, hidden).map { prompt, hidden throws(InferenceError) in try allocating(try hidden.rows(prompt.keptPositions)) }
        }
        let (exact, whole) = (try features(result.own), try features(result.whole))
        var shares: [String: [Double]] = [:]
        for (unit, hidden) in zip([Impacts.table] + (0..<result.exchanged.count - 1).map(Impacts.textLayer), result.exchanged) where units.text[unit] != nil {
            let exchanged = try features(hidden)
            shares[unit] = exact.indices.map { draw in
                let all = MeasuredModels.error(exact[draw], whole[draw])
                return all > 0 ? MeasuredModels.error(exact[draw], exchanged[draw]) / all : 0
            }
        }
        return (whole, shares)
    }
}
