import Inference
import Operations
import PackedFiles
import Parity
import Quality
import Tensors

/// Leave-one-out over the layers of the transformer, judged by the velocity.
struct TransformerAblation {
    private let models: MeasuredModels
    private let options: Advisor.Options
    private var inputs: Draws<CPU>
    /// The checkpoint's final latents of the draws so far, `[channels, side, side]` of unit variance.
    private var ends: [Tensor] = []

    /// Streams of tokens that are held at once, in bytes.
    private static let streamBytes = 384 << 20

    init(_ models: MeasuredModels, _ options: Advisor.Options, _ pipeline: SanaSprintPipeline<CPU>) throws(InferenceError) {
        self.models = models
        self.options = options
        inputs = try Draws(pipeline, prompts: Advisor.prompts, steps: options.steps, mostSide: options.mostSide)
    }

    /// - Precondition: at least one candidate.
    mutating func advise(_ layers: [TensorEntry], _ progress: (String) -> Void) throws(InferenceError) -> Advice {
        let wave = VelocityWave(models: models, packed: models.packed, guidance: inputs.guidance)
        var race = LeaveOneOut(candidates: layers.count, places: options.places)
        var (draws, baseline): ([Draw], [Double]) = ([], [])
        // By step, by draw.
        var velocities = inputs.flows.map { _ in [Tensor]() }
        let tokens = inputs.side * inputs.side / (models.configuration.transformer.patch * models.configuration.transformer.patch)
        // A model with a kept layer sets out there: half of the blocks, on average.
        let products = Double(inputs.flows.count * tokens) * layers.reduce(0) { $0 + Double($1.shape.elementCount) } / 2
        let work = options.work(products)
        try race.run(first: options.firstDraws, most: options.draws(options.mostDraws, work: work), work: work) { fresh, running throws(InferenceError) in
            progress("what each of \(running.count) layers of the transformer gains in 16 bits, after \(fresh.lowerBound) draws")
            for index in fresh { draws.append(try inputs.draw(options.firstDraw + index)) }
            var measured: [LeaveOneOut.Steps] = []
            for group in groups(of: Array(draws[fresh]), running.count) {
                let (steps, latents, seen) = try walk(wave, group, running.map { layers[$0] })
                velocities = zip(velocities, seen).map { $0 + $1 }
                measured += steps
                ends += latents
            }
            baseline += measured.map(Self.sqnr)
            return measured
        }
        progress("what the advised layers gain together")
        let best = race.ranking.prefix(race.places).map { layers[$0] }
        let joint = VelocityWave(models: models, packed: models.keeping(best), guidance: inputs.guidance)
        var together: [Double] = []
        for group in groups(of: draws, 0) {
            let known = velocities.map { Array($0[together.count..<together.count + group.count]) }
            for steps in try walk(joint, group, [], known: known).steps { together.append(Self.sqnr(steps) - baseline[together.count]) }
        }
        return try models.advice(
            "Layers of the transformer to keep in 16 bits", method: method, judgedBy: "velocity", layers, race, sqnr: baseline, together: together)
    }

    private var method: String {
        let steps = inputs.flows.count == 1 ? "the one step" : "all \(inputs.flows.count) steps"
        return
            "Each layer in turn was taken from the checkpoint in 16 bits, with float arithmetic, and everything else left as in the file: by so much the error "
            + "of the velocity falls. Single steps on inputs identical to the checkpoint's, \(steps) of each draw, latents of "
            + "\(inputs.side) x \(inputs.side); a draw is a prompt with noise of its own. \(LeaveOneOut.method)"
    }

    /// Corners of the checkpoint's final latents, `[channels, side, side]` of unit variance: of each draw as many as it has.
    mutating func corners(_ range: Range<Int>, side: Int) throws(InferenceError) -> [Tensor] {
        let size = min(side, inputs.side)
        let across = inputs.side / size
        let missing = ends.count..<max(ends.count, (range.upperBound - 1) / (across * across) + 1)
        if !missing.isEmpty {
            var draws: [Draw] = []
            for index in missing { draws.append(try inputs.draw(options.firstDraw + index)) }
            ends += try walk(VelocityWave(models: models, packed: models.packed, guidance: inputs.guidance), draws, []).latents
        }
        return try range.map { index throws(InferenceError) in
            let (draw, corner) = (index / (across * across), index % (across * across))
            return try allocating(try ends[draw].part(row: corner / across * size, column: corner % across * size, side: size))
        }
    }

    // MARK: - Steps

    /// Takes draws through all steps on the checkpoint's own way.
    /// - Returns: by draw, the error powers of its steps, and the checkpoint's final latents.
    private func walk(
        _ wave: VelocityWave<CPU>, _ draws: [Draw], _ candidates: [TensorEntry], known: [[Tensor]]? = nil
    ) throws(InferenceError) -> (steps: [LeaveOneOut.Steps], latents: [Tensor], velocities: [[Tensor]]) {
        var steps = draws.map { _ in LeaveOneOut.Steps() }
        // By step, by draw.
        var velocities: [[Tensor]] = []
        let latents = try inputs.walk(draws) { time, seen, features throws(InferenceError) in
            let results = try wave.run(time: time, inputs: seen, features: features, candidates: models.candidates(candidates), known: known?[velocities.count])
            velocities.append(results.map(\.velocity))
            for (draw, result) in results.enumerated() { steps[draw].append((result.error, result.kept)) }
            return results.map(\.velocity)
        }
        return (steps, latents, velocities)
    }

    /// As many draws at once as the memory for their streams lets.
    private func groups(of draws: [Draw], _ candidates: Int) -> [[Draw]] {
        let side = inputs.side / models.configuration.transformer.patch
        let bytes = (candidates + 2) * side * side * models.configuration.transformer.width * MemoryLayout<Float>.stride
        let size = max(1, min(draws.count, Self.streamBytes / bytes))
        return stride(from: 0, to: draws.count, by: size).map { Array(draws[$0..<min($0 + size, draws.count)]) }
    }

    private static func sqnr(_ steps: LeaveOneOut.Steps) -> Double { LeaveOneOut.statistics(steps.map { LeaveOneOut.sqnr($0.error) }).mean }
}
