import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Quality
import Tensors

/// Which layers of a quantized file are best kept in 16 bits, by leaving each in turn out of the quantization.
///
/// The transformer's layers are judged by the velocity of single steps, with inputs identical to the checkpoint's; those of the autoencoder's
/// decoder, which the velocity does not know of, by the picture of the checkpoint's latents.
struct Advisor {
    /// How much is measured.
    struct Options: Sendable {
        /// Layers to advise.
        var places = 3
        var steps = 2
        /// Draws before the first look at which layers still have a chance; before each further look there are four times as many.
        var firstDraws = 2
        /// After so many draws a close race is left undecided.
        var mostDraws = 64
        /// The most products of a number with a weight that a round after the first takes, whatever the size of the model: a minute of two cores.
        var roundProducts = 8e12
        /// The number of the first draw: others are other inputs.
        var firstDraw = 0
        /// The largest side of the latents; the model's own where that is smaller.
        var mostSide = 8
        /// The same of the decoder's pictures.
        var firstPictures = 2
        var mostPictures = 64
        /// The largest side of the latents that the decoder is given.
        var mostPictureSide = 4

        init() {}

        /// How many draws, all candidates' together, a round may take.
        /// - Parameter products: of one draw of one candidate.
        func work(_ products: Double) -> Int { Int(min(1e9, roundProducts / products)) }

        /// How many draws a race takes at most. Each also runs the checkpoint's model and the file's, which costs as much as some candidates.
        func draws(_ most: Int, work: Int) -> Int { min(most, max(16, work / 6)) }
    }

    /// The prompts of the draws: draw i has prompt i modulo their number, and the noise of seed i.
    static let prompts = [
        "a large red circle on a blue background", "a lighthouse on a cliff at dusk, oil painting", "portrait of an old fisherman, soft light",
        "a small yellow star on the left on a black background", "two cats asleep on a wooden chair", "a city street in the rain at night",
        "a green heart, white background", "a bowl of fruit on a table",
    ]
    private(set) var advice: [Advice] = []

    init(
        _ file: PackedFile, _ checkpoint: Checkpoint, on executor: CPU, _ options: Options = Options(), progress: (String) -> Void = { _ in }
    ) throws(ProofError) {
        let fused: CheckpointWeights
        do throws(ConversionError) {
            let components = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) }.filter(\.hasWeights))
            fused = try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components)
        } catch { throw .conversion(error) }
        do throws(InferenceError) {
            let packed = try PackedWeights(file)
            let pipeline = try SanaSprintPipeline(weights: packed, on: executor)
            let models = MeasuredModels(executor: executor, configuration: pipeline.configuration, packed: packed, fused: fused)
            func candidates(_ component: Component) -> [TensorEntry] {
                file.directory.tensors.filter { $0.component == component.rawValue && $0.isQuantized }
            }
            let (layers, convolutions) = (candidates(.transformer), candidates(.vaeDecoder))
            guard !layers.isEmpty || !convolutions.isEmpty else { return }
            var ablation = try TransformerAblation(models, options, pipeline)
            if !layers.isEmpty { advice.append(try ablation.advise(layers, progress)) }
            guard !convolutions.isEmpty else { return }
            let decoder = DecoderAblation(models: models, options: options)
            advice.append(
                try decoder.advise(convolutions, progress) { draws throws(InferenceError) in
                    try ablation.corners(draws, side: options.mostPictureSide)
                })
        } catch { throw .inference(error) }
    }
}

extension MeasuredModels {
    /// The advice of a race over candidates.
    /// - Parameters:
    ///   - sqnr: of the file as it is, by draw.
    ///   - together: what the best gain together, by draw.
    func advice(
        _ title: String, method: String, judgedBy: String, _ candidates: [TensorEntry], _ race: LeaveOneOut, sqnr: [Double], together: [Double]
    ) throws(InferenceError) -> Advice {
        var layers: [Advice.Layer] = []
        for (place, index) in race.ranking.enumerated() {
            let entry = candidates[index]
            let keep = place < race.places ? Advice.Keep(rule: "\(entry.name) \(entry.keptScheme)", addedBytes: try addedBytes(entry)) : nil
            layers.append(
                Advice.Layer(
                    name: entry.name, gain: race.mean(index), standardError: race.standardError(index), draws: race.gains[index].count, keep: keep))
        }
        let sum = layers.reduce(0) { $0 + ($1.keep?.addedBytes ?? 0) }
        let joint = LeaveOneOut.statistics(together)
        return Advice(
            title: title, method: method, judgedBy: judgedBy, sqnr: LeaveOneOut.statistics(sqnr).mean, layers: layers,
            together: Advice.Together(gain: joint.mean, standardError: joint.standardError, addedBytes: sum),
            margin: race.margin.map { Advice.Margin(lead: $0.mean, standardError: $0.standardError, isDistinct: race.isDecided && !race.isCut) })
    }

    /// By how much the planes of the file grow when the tensor is kept.
    private func addedBytes(_ entry: TensorEntry) throws(InferenceError) -> Int {
        let stored = try KeptWeights.stored(entry.name, entry.keptScheme, fused)
        let kept = try allocating(try PlaneEntry.storedByteCount(of: stored))
        return kept - Int(entry.planes.reduce(0 as UInt64) { $0 + $1.section.storedByteCount })
    }
}
