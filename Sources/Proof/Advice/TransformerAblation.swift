import Inference
import PackedFiles
import Parity
import Tensors

/// Leave-one-out over the layers of the transformer, judged by the velocity.
struct TransformerAblation {
    private let models: AblationModels
    private let options: Advisor.Options
    private var inputs: AblationInputs
    /// The checkpoint's final latents of the draws so far, `[channels, side, side]` of unit variance.
    private var ends: [Tensor] = []

    /// Streams of tokens that are held at once, in bytes.
    private static let streamBytes = 384 << 20
    /// By how much smaller than the last advised layer's an estimated error may be for its layer to be tried.
    private static let reach = 0.3
    /// The fewest and the most layers that are tried after an estimate.
    private static let tried = (fewest: 6, most: 16)

    init(_ models: AblationModels, _ options: Advisor.Options, _ pipeline: SanaSprintPipeline) throws(InferenceError) {
        self.models = models
        self.options = options
        let transformer = models.configuration.transformer
        let side = min(options.mostSide, transformer.sampleSize) / transformer.patch * transformer.patch
        inputs = try AblationInputs(pipeline, steps: options.steps, side: max(transformer.patch, side))
    }

    /// - Precondition: at least one candidate.
    mutating func advise(_ layers: [TensorEntry], _ progress: (String) -> Void) throws(InferenceError) -> Advice {
        let order = try screened(layers, progress)
        let candidates = order.tried
        let wave = VelocityWave(models: models, packed: models.packed, guidance: inputs.guidance)
        var race = LeaveOneOut(candidates: candidates.count, places: options.places)
        var (draws, baseline): ([AblationInputs.Draw], [Double]) = ([], [])
        // Of the first round, by step, by draw.
        var velocities = inputs.flows.map { _ in [Tensor]() }
        let drawsPerRound = drawsPerRound
        for round in 0..<mostRounds {
            progress("what each of \(race.running.count) layers of the transformer gains in 16 bits, round \(round + 1)")
            for _ in 0..<drawsPerRound { draws.append(try inputs.draw(draws.count)) }
            for group in groups(of: Array(draws.suffix(drawsPerRound)), race.running.count) {
                let (steps, latents, seen) = try walk(wave, group, race.running.map { candidates[$0] })
                if round == 0 { velocities = zip(velocities, seen).map { $0 + $1 } }
                for steps in steps {
                    race.add(steps: steps)
                    baseline.append(Self.sqnr(steps))
                }
                ends += latents
            }
            race.giveUpHopeless()
            if race.isDecided { break }
        }
        progress("what the advised layers gain together")
        let best = race.ranking.prefix(race.places).map { candidates[$0] }
        let joint = VelocityWave(models: models, packed: models.keeping(best), guidance: inputs.guidance)
        let (steps, _, _) = try walk(joint, Array(draws.prefix(drawsPerRound)), [], known: velocities)
        let together = steps.enumerated().map { draw, steps in Self.sqnr(steps) - baseline[draw] }
        return try models.advice(
            "Layers of the transformer to keep in 16 bits", method: method(order.rest.count), judgedBy: "velocity", candidates, race, rest: order.rest,
            sqnr: baseline, together: together)
    }

    /// Fewer where each is the work of seconds.
    private var drawsPerRound: Int { models.isLarge ? max(2, options.drawsPerRound / 4) : options.drawsPerRound }
    private var mostRounds: Int { models.isLarge ? min(2, options.mostRounds) : options.mostRounds }

    private func method(_ rest: Int) -> String {
        let steps = inputs.flows.count == 1 ? "the one step" : "all \(inputs.flows.count) steps"
        let estimated =
            rest == 0
            ? ""
            : " \(rest) layers were not tried, since by an estimate, which does not see how errors of several layers add up or cancel, each of them alone moves the velocity much less."
        return
            "Each layer in turn was taken from the checkpoint in 16 bits, with float arithmetic, and everything else left as in the file: by so much the error "
            + "of the velocity falls. Single steps on inputs identical to the checkpoint's, \(steps) of each draw, latents of "
            + "\(inputs.side) x \(inputs.side); a draw is a prompt with noise of its own. Layers that were clearly behind were given up early.\(estimated)"
    }

    /// The checkpoint's final latents of some draws.
    mutating func latents(_ count: Int) throws(InferenceError) -> [Tensor] {
        guard ends.count < count else { return Array(ends.prefix(count)) }
        var draws: [AblationInputs.Draw] = []
        for index in 0..<count { draws.append(try inputs.draw(index)) }
        ends = try walk(VelocityWave(models: models, packed: models.packed, guidance: inputs.guidance), draws, []).latents
        return ends
    }

    // MARK: - Which layers to try

    private mutating func screened(
        _ layers: [TensorEntry], _ progress: (String) -> Void
    ) throws(InferenceError) -> (tried: [TensorEntry], rest: [TensorEntry]) {
        guard layers.count > options.mostCandidates else { return (layers, []) }
        progress("which of \(layers.count) layers of the transformer matter")
        var draws: [AblationInputs.Draw] = []
        for index in 0..<options.screeningDraws { draws.append(try inputs.draw(index)) }
        let screen = LayerScreen(models: models, guidance: inputs.guidance)
        var sums = [Double](repeating: 0, count: layers.count)
        _ = try walk(draws) { time, seen, features throws(InferenceError) in
            let step = try screen.run(time: time, inputs: seen, features: features, candidates: layers)
            for (index, power) in step.powers.enumerated() { sums[index] += power }
            return step.velocities
        }
        let order = layers.indices.sorted { (sums[$0], $1) > (sums[$1], $0) }
        let last = sums[order[min(options.places, order.count) - 1]]
        let matter = order.prefix { sums[$0] >= Self.reach * last }.count
        let count = min(order.count, max(Self.tried.fewest, min(Self.tried.most, matter)))
        return (order.prefix(count).map { layers[$0] }, order.dropFirst(count).map { layers[$0] })
    }

    // MARK: - Steps

    private typealias Steps = [(error: Double, kept: [Double])]

    /// Takes draws through all steps on the checkpoint's own way.
    /// - Returns: by draw, the error powers of its steps, and the checkpoint's final latents.
    private func walk(
        _ wave: VelocityWave, _ draws: [AblationInputs.Draw], _ candidates: [TensorEntry], known: [[Tensor]]? = nil
    ) throws(InferenceError) -> (steps: [Steps], latents: [Tensor], velocities: [[Tensor]]) {
        var steps = draws.map { _ in Steps() }
        // By step, by draw.
        var velocities: [[Tensor]] = []
        let latents = try walk(draws) { time, seen, features throws(InferenceError) in
            let results = try wave.run(time: time, inputs: seen, features: features, candidates: candidates, known: known?[velocities.count])
            velocities.append(results.map(\.velocity))
            for (draw, result) in results.enumerated() { steps[draw].append((result.error, result.kept)) }
            return results.map(\.velocity)
        }
        return (steps, latents, velocities)
    }

    /// - Parameter step: gives the checkpoint's velocities at a flow time.
    private func walk(
        _ draws: [AblationInputs.Draw], _ step: (_ time: Double, _ inputs: [Tensor], _ features: [Tensor]) throws(InferenceError) -> [Tensor]
    ) throws(InferenceError) -> [Tensor] {
        var states: [Tensor] = []
        for draw in draws { states.append(try wrap { () throws(AllocationError) in try draw.noises[0].scaled(by: inputs.sigma) }) }
        var clean = states
        for (index, flow) in inputs.flows.enumerated() {
            var seen: [Tensor] = []
            for state in states { seen.append(try wrap { () throws(AllocationError) in try flow.input(state) }) }
            let velocities = try step(flow.flowTime, seen, draws.map(\.features))
            for draw in draws.indices {
                clean[draw] = try wrap { () throws(AllocationError) in try flow.denoised(states[draw], input: seen[draw], velocity: velocities[draw]) }
                states[draw] = try wrap { () throws(AllocationError) in try flow.renoised(clean[draw], noise: draws[draw].noises[index + 1]) }
            }
        }
        var latents: [Tensor] = []
        for state in clean { latents.append(try wrap { () throws(AllocationError) in try state.scaled(by: 1 / inputs.sigma) }) }
        return latents
    }

    /// As many draws at once as the memory for their streams lets.
    private func groups(of draws: [AblationInputs.Draw], _ candidates: Int) -> [[AblationInputs.Draw]] {
        let side = inputs.side / models.configuration.transformer.patch
        let bytes = (candidates + 2) * side * side * models.configuration.transformer.width * MemoryLayout<Float>.stride
        let size = max(1, min(draws.count, Self.streamBytes / bytes))
        return stride(from: 0, to: draws.count, by: size).map { Array(draws[$0..<min($0 + size, draws.count)]) }
    }

    private static func sqnr(_ steps: Steps) -> Double { LeaveOneOut.statistics(steps.map { LeaveOneOut.sqnr($0.error) }).mean }
}

extension Tensor {
    /// factor * self, computed in double.
    func scaled(by factor: Double) throws(AllocationError) -> Tensor {
        var result = try copy()
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(Double(elements[index]) * factor) }
        return result
    }
}
