package import Checkpoints
import Conversion
import Inference
package import PackedFiles
package import Parity
import Tensors

/// Which layers of a quantized file are best kept in 16 bits, by leaving each in turn out of the quantization.
///
/// The transformer's layers are judged by the velocity of single steps, with inputs identical to the checkpoint's; those of the autoencoder's
/// decoder, which the velocity does not know of, by the picture of the checkpoint's latents.
package struct Advisor {
    /// How much is measured.
    package struct Options: Sendable {
        /// Layers to advise.
        package var places = 3
        package var steps = 2
        /// Draws after which hopeless candidates are given up, and after how many such rounds a close race is left undecided.
        package var drawsPerRound = 4
        package var mostRounds = 6
        /// The largest side of the latents; the model's own where that is smaller.
        package var mostSide = 8
        package init() {}
    }

    package private(set) var advice: [Advice] = []
    private let file: PackedFile
    private let options: Options
    private let packed: PackedWeights
    private let exact: CheckpointWeights
    private let fused: CheckpointWeights
    private let configuration: SanaSprintConfiguration

    /// Streams of tokens that are held at once, in bytes.
    private static let streamBytes = 512 << 20

    package init(
        _ file: PackedFile, _ checkpoint: Checkpoint, _ options: Options = Options(), progress: (String) -> Void = { _ in }
    ) throws(ProofError) {
        self.file = file
        self.options = options
        do throws(ConversionError) {
            let components = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) }.filter { $0 != .prefixCache })
            exact = try CheckpointWeights(checkpoint, fusions: .lossless, components: components)
            fused = try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components)
        } catch { throw .conversion(error) }
        do throws(InferenceError) {
            packed = try InferenceError.loading { [file] () throws(WeightError) in try PackedWeights(file) }
            let pipeline = try SanaSprintPipeline(weights: packed)
            configuration = pipeline.configuration
            let side = min(options.mostSide, configuration.transformer.sampleSize) / configuration.transformer.patch * configuration.transformer.patch
            var inputs = try AblationInputs(pipeline, steps: options.steps, side: max(configuration.transformer.patch, side))
            let latents = try adviseTransformer(&inputs, progress)
            try adviseDecoder(latents, progress)
        } catch { throw .inference(error) }
    }

    private func keeping(_ entries: [TensorEntry]) -> KeptWeights {
        KeptWeights(
            file: packed, checkpoint: fused, kept: Dictionary(entries.map { ($0.name, $0.keptScheme) }, uniquingKeysWith: { first, _ in first }))
    }

    private func candidates(_ component: Component) -> [TensorEntry] {
        file.directory.tensors.filter { $0.component == component.rawValue && $0.isQuantized }
    }

    // MARK: - Transformer

    /// - Returns: the checkpoint's final latents of the first draws, of unit variance: what the decoder is judged by.
    private mutating func adviseTransformer(_ inputs: inout AblationInputs, _ progress: (String) -> Void) throws(InferenceError) -> [Tensor] {
        let candidates = candidates(.transformer)
        let wave = VelocityWave(
            exact: ModelParts(configuration, from: exact), packed: packed, keeping: { [self] in keeping($0) }, guidance: inputs.guidance)
        var race = LeaveOneOut(candidates: candidates.count, places: options.places)
        var (latents, draws, baseline): ([Tensor], [AblationInputs.Draw], [Double]) = ([], [], [])
        for round in 0..<options.mostRounds {
            progress("what each of \(race.running.count) layers of the transformer gains in 16 bits, round \(round + 1)")
            let running = race.running.map { candidates[$0] }
            for index in round * options.drawsPerRound..<(round + 1) * options.drawsPerRound { draws.append(try inputs.draw(index)) }
            for group in groups(of: Array(draws.suffix(options.drawsPerRound)), running.count, inputs.side) {
                let (steps, ends) = try walk(wave, inputs, group, running)
                for steps in steps {
                    race.add(steps: steps)
                    baseline.append(Self.decibels(steps.map(\.error)))
                }
                if round == 0 { latents += ends }
            }
            race.giveUpHopeless()
            if candidates.isEmpty || race.isDecided { break }
        }
        guard !candidates.isEmpty else { return latents }
        let best = race.ranking.prefix(race.places).map { candidates[$0] }
        progress("what the advised layers gain together")
        let joint = VelocityWave(exact: wave.exact, packed: keeping(best), keeping: wave.keeping, guidance: wave.guidance)
        var gains: [Double] = []
        let (steps, _) = try walk(joint, inputs, Array(draws.prefix(options.drawsPerRound)), [])
        for (draw, steps) in steps.enumerated() { gains.append(Self.decibels(steps.map(\.error)) - baseline[draw]) }
        let flows = inputs.flows.count
        let method =
            "Each layer in turn was taken from the checkpoint in 16 bits, with float arithmetic, and everything else left as in the file: by so much the "
            + "error of the velocity falls. Single steps on inputs identical to the checkpoint's, \(flows == 1 ? "the one step" : "all \(flows) steps") of "
            + "each draw, latents of \(inputs.side) x \(inputs.side); a draw is a prompt with noise of its own. Layers that were clearly behind were given up early."
        advice.append(
            try advice(
                "Layers of the transformer to keep in 16 bits", method, "velocity", candidates, race, sqnr: baseline, together: gains))
        return latents
    }

    /// Takes draws through all steps on the checkpoint's own way.
    /// - Returns: by draw, the error powers of its steps, and the checkpoint's final latents.
    private func walk(
        _ wave: VelocityWave, _ inputs: AblationInputs, _ draws: [AblationInputs.Draw], _ candidates: [TensorEntry]
    ) throws(InferenceError) -> (steps: [[(error: Double, kept: [Double])]], latents: [Tensor]) {
        var states: [Tensor] = []
        for draw in draws { states.append(try scaled(draw.noises[0], by: inputs.sigma)) }
        var steps = draws.map { _ in [(error: Double, kept: [Double])]() }
        var clean = states
        for (step, flow) in inputs.flows.enumerated() {
            var seen: [Tensor] = []
            for state in states { seen.append(try wrap { () throws(AllocationError) in try flow.input(state) }) }
            let results = try wave.run(time: flow.flowTime, inputs: seen, features: draws.map(\.features), candidates: candidates)
            for (draw, result) in results.enumerated() {
                steps[draw].append((result.error, result.kept))
                clean[draw] = try wrap { () throws(AllocationError) in try flow.denoised(states[draw], input: seen[draw], velocity: result.velocity) }
                states[draw] = try wrap { () throws(AllocationError) in try flow.renoised(clean[draw], noise: draws[draw].noises[step + 1]) }
            }
        }
        var latents: [Tensor] = []
        for state in clean { latents.append(try scaled(state, by: 1 / inputs.sigma)) }
        return (steps, latents)
    }

    /// As many draws at once as the memory for their streams lets.
    private func groups(of draws: [AblationInputs.Draw], _ candidates: Int, _ side: Int) -> [[AblationInputs.Draw]] {
        let tokens = side / configuration.transformer.patch * (side / configuration.transformer.patch)
        let bytes = max(1, candidates) * tokens * configuration.transformer.width * MemoryLayout<Float>.stride
        let size = max(1, min(draws.count, Self.streamBytes / bytes))
        return stride(from: 0, to: draws.count, by: size).map { Array(draws[$0..<min($0 + size, draws.count)]) }
    }

    // MARK: - Decoder

    private mutating func adviseDecoder(_ latents: [Tensor], _ progress: (String) -> Void) throws(InferenceError) {
        let candidates = candidates(.vaeDecoder)
        guard let vae = configuration.vae, !candidates.isEmpty else { return }
        progress("what each of \(candidates.count) layers of the decoder gains in 16 bits")
        var inputs: [Tensor] = []
        for latent in latents { inputs.append(try scaled(latent, by: 1 / vae.scalingFactor)) }
        let expected = try pictures(vae, exact, inputs)
        let found = try pictures(vae, packed, inputs)
        let errors = zip(expected, found).map(Self.error)
        var race = LeaveOneOut(candidates: candidates.count, places: options.places)
        var kept = [[Double]](repeating: [], count: inputs.count)
        for entry in candidates {
            for (draw, picture) in try pictures(vae, keeping([entry]), inputs).enumerated() { kept[draw].append(Self.error(expected[draw], picture)) }
        }
        for (draw, error) in errors.enumerated() { race.add(steps: [(error, kept[draw])]) }
        let best = race.ranking.prefix(race.places).map { candidates[$0] }
        let together = zip(expected, try pictures(vae, keeping(best), inputs)).map { Self.decibels([Self.error($0, $1)]) }
        let sqnr = errors.map { Self.decibels([$0]) }
        let side = latents.first?.shape[1] ?? 0
        let method =
            "As above, judged by the error of the decoded picture: the decoder of the file against the checkpoint's, both of the checkpoint's latents "
            + "of \(side) x \(side)."
        advice.append(
            try advice(
                "Layers of the decoder to keep in 16 bits", method, "picture", candidates, race, sqnr: sqnr,
                together: zip(together, sqnr).map { $0 - $1 }))
    }

    private func pictures(_ vae: AutoencoderConfiguration, _ weights: any WeightSource, _ latents: [Tensor]) throws(InferenceError) -> [Tensor] {
        let decoder = AutoencoderDecoder(vae, from: weights)
        var result: [Tensor] = []
        for input in latents { result.append(try decoder.decode(input)) }
        return result
    }

    // MARK: - Figures

    private func advice(
        _ title: String, _ method: String, _ judgedBy: String, _ candidates: [TensorEntry], _ race: LeaveOneOut, sqnr: [Double], together: [Double]
    ) throws(InferenceError) -> Advice {
        var layers: [Advice.Layer] = []
        for (place, index) in race.ranking.enumerated() {
            let entry = candidates[index]
            let keep =
                place < race.places ? Advice.Keep(rule: "\(entry.name) \(entry.keptScheme.rawValue)", addedBytes: try addedBytes(entry)) : nil
            layers.append(
                Advice.Layer(
                    name: entry.name, gain: race.mean(index), standardError: race.standardError(index), draws: race.gains[index].count, keep: keep))
        }
        let sum = layers.reduce(0) { $0 + ($1.keep?.addedBytes ?? 0) }
        let joint = LeaveOneOut.statistics(together)
        return Advice(
            title: title, method: method, judgedBy: judgedBy, sqnr: sqnr.reduce(0, +) / Double(max(1, sqnr.count)), layers: layers,
            together: Advice.Together(gain: joint.mean, standardError: joint.standardError, addedBytes: sum),
            margin: race.margin.map { Advice.Margin(lead: $0.mean, standardError: $0.standardError, isDistinct: race.isDecided) })
    }

    /// By how much the file grows when the tensor is kept.
    private func addedBytes(_ entry: TensorEntry) throws(InferenceError) -> Int {
        let stored = try InferenceError.loading { () throws(WeightError) in try KeptWeights.stored(entry.name, entry.keptScheme, fused) }
        let kept = try wrap { () throws(AllocationError) in try PlaneEntry.storedByteCount(of: stored) }
        return kept - Int(entry.planes.reduce(0 as UInt64) { $0 + $1.section.storedByteCount })
    }

    private func scaled(_ x: Tensor, by factor: Double) throws(InferenceError) -> Tensor {
        try wrap { () throws(AllocationError) in
            var result = try x.copy()
            var elements = result.mutableSpan
            for index in elements.indices { elements[index] = Float(Double(elements[index]) * factor) }
            return result
        }
    }

    private static func error(_ reference: Tensor, _ other: Tensor) -> Double {
        let distance = Metrics(reference: reference, other: other).relativeL2
        return distance * distance
    }

    /// Mean signal to noise of error powers.
    private static func decibels(_ errors: [Double]) -> Double {
        errors.reduce(0) { $0 + LeaveOneOut.sqnr($1) } / Double(max(1, errors.count))
    }
}
