import Conversion
import Inference
import Operations
import Tensors

/// Measures what rough rounding of each unit alone does to velocities (`Impacts`).
///
/// Every linear goes its own way to the velocity: what it does to the tokens of its block alone says less. Text layers act through the features: what
/// those are off by is taken for the velocity's in the proportion that rounding all of them has.
struct ImpactMeasurement<E: Executor> {
    let pipeline: SanaSprintPipeline<E>
    let weights: CheckpointWeights
    let executor: E
    let units: Impacts.Units

    /// Pictures, each of a prompt, and steps of each.
    private static var mostDraws: Int { 8 }
    private static var steps: Int { 2 }

    /// Passes over a block or a text layer, for so many draws of latents of a side.
    func passes(draws: Int, side: Int) -> Int {
        let (count, atOnce) = (min(draws, Self.mostDraws), drawsAtOnce(side))
        let waves = (0..<Self.steps).reduce(0) { $0 + ((count + Self.steps - 1 - $1) / Self.steps + atOnce - 1) / atOnce }
        return (Self.steps + waves) * pipeline.configuration.transformer.layers + (pipeline.configuration.text?.layers ?? 0)
    }

    /// - Parameters:
    ///   - draws: without the instruction, of latents of at least 8 pixels on a side: of few tokens, attention says little of what it does to many.
    ///   - indices: of those there are; the first are taken.
    ///   - progress: is told before each pass over a block or layer.
    func run(_ draws: inout Draws<E>, _ indices: [Int], _ progress: () -> Void) throws(InferenceError) -> [String: [Double]] {
        try draws.follow(.steps(Self.steps))
        let taken = Array(indices.prefix(Self.mostDraws))
        let (batch, guidance) = (try draws.draws(taken), draws.guidance)
        let text = try textImpacts(taken.map(draws.prompt(of:)), progress)
        let exact = parts(weights)
        let candidates = units.linears.map { VelocityWave<E>.Candidate($0, parts(rounded([$0]))) }
        let wave = VelocityWave(exact: exact, file: exact, guidance: guidance)
        var (errors, step) = ([String: [Double]](), 0)
        _ = try draws.walk(batch) { time, inputs, features throws(InferenceError) in
            defer { step += 1 }
            let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
            let velocities = try exact.velocities(guidance, [moment], features, progress)[0]
            let moved = try text.map { text throws(InferenceError) in try exact.velocities(guidance, [moment], text.whole)[0] }
            // Other draws are worth more than other steps of the same.
            let measured = inputs.indices.filter { $0 % Self.steps == step % Self.steps }
            var results: [VelocityWave<E>.Result] = []
            for start in stride(from: 0, to: measured.count, by: drawsAtOnce(draws.side)) {
                let group = measured[start..<min(start + drawsAtOnce(draws.side), measured.count)]
                results += try wave.run(
                    time: time, inputs: group.map { inputs[$0] }, features: group.map { features[$0] }, candidates: candidates,
                    known: group.map { velocities[$0] }, progress)
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
    private func drawsAtOnce(_ side: Int) -> Int {
        let c = pipeline.configuration.transformer
        let bytes = units.linears.count * side * side / (c.patch * c.patch) * c.width * MemoryLayout<Float>.stride
        return max(1, Impacts.mostStreamBytes / max(1, bytes))
    }

    private func rounded(_ names: [String]) -> RoundedWeights { RoundedWeights(checkpoint: weights, rounded: Set(names)) }
    private func parts(_ weights: any WeightSource) -> ModelParts<E> { ModelParts(pipeline.configuration, from: weights, on: executor) }

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
