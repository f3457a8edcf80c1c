import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// Which layers hold a file back, found cheaply: blocks alone on the checkpoint's inputs, and in the worst of them each layer in turn.
struct Culprits {
    let models: MeasuredModels
    let entries: [TensorEntry]
    let guidance: Double

    private static let places = 3
    /// Blocks whose layers are looked at.
    private static let blocks = 3
    /// dB below which a gain names nobody.
    private static let leastGain = 0.1
    /// Side of the latents that the decoder's layers are judged by.
    private static let pictureSide = 4

    /// The layers that gain most where they are kept in 16 bits, of the parts that are not good.
    func layers(
        _ quality: Quality, _ reference: PictureWalk.Result, _ features: [Tensor], _ pictures: PictureWalk.Pictures?
    ) throws(InferenceError) -> [Quality.Layer] {
        var layers: [Quality.Layer] = []
        if !quality.velocity.reaches(Quality.Word.goodLimits) { layers += try transformer(quality, reference, features) }
        if let pictures { layers += try decoder(pictures) }
        return Array(layers.filter { $0.gain >= Self.leastGain }.sorted { $0.gain > $1.gain }.prefix(Self.places))
    }

    private func quantized(_ component: Component) -> [TensorEntry] { entries.filter { $0.isQuantized && $0.component == component.rawValue } }

    /// Models that differ from the file's in one layer and go through the transformer beside it, at most: of each, tokens of every draw.
    static func mostModels(_ plan: ConversionPlan) -> Int {
        let places = plan.quantizedNames(of: .transformer).map { TransformerPlace(of: $0) }
        let counts = Dictionary(places.map { ($0, 1) }, uniquingKeysWith: +)
        func isBlock(_ place: TransformerPlace) -> Bool { if case .block = place { true } else { false } }
        let elsewhere = counts.filter { !isBlock($0.key) }.values.reduce(0, +)
        return elsewhere + counts.filter { isBlock($0.key) }.values.sorted(by: >).prefix(blocks).reduce(0, +)
    }

    // MARK: - Transformer

    private func transformer(_ quality: Quality, _ reference: PictureWalk.Result, _ features: [Tensor]) throws(InferenceError) -> [Quality.Layer] {
        // The moment whose velocities are furthest off.
        let medians = reference.moments.map { moment in Quality.Spread(quality.velocities.filter { $0.time == moment.time }.map(\.sqnr.file)).median }
        guard let worst = medians.indices.min(by: { medians[$0] < medians[$1] }) else { return [] }
        let moment = reference.moments[worst]
        let told = moment.draws.map { features[$0] }
        let blocks = Set(try blockErrors(moment, told).enumerated().sorted { $0.element > $1.element }.prefix(Self.blocks).map(\.offset))
        let candidates = quantized(.transformer).filter { entry in
            if case .block(let index) = TransformerPlace(of: entry.name) { return blocks.contains(index) }
            return true
        }
        guard !candidates.isEmpty else { return [] }
        let wave = VelocityWave(models: models, packed: models.packed, guidance: guidance)
        let results = try wave.run(
            time: moment.time, inputs: moment.inputs, features: told, candidates: models.candidates(candidates), known: reference.velocities[worst])
        return candidates.enumerated().map { index, entry in
            Quality.Layer(name: entry.name, gain: Self.gain(results.map { ($0.error, $0.kept[index]) }), judgedBy: .velocity)
        }
    }

    /// By block: the mean error of the file's on what the checkpoint's was given, relative to what that made of it.
    private func blockErrors(_ moment: Moment, _ features: [Tensor]) throws(InferenceError) -> [Double] {
        let (exact, file, grid) = (models.exact, models.parts(models.packed), models.exact.grid(moment.inputs[0]))
        let told = try MeasuredModels.Conditions(exact, moment.time, guidance, features)
        var x = try exact.tokens(moment.inputs)
        return try (0..<models.layers).map { layer throws(InferenceError) in
            let found = try grid.advanced(x, file.residentBlock(layer), told)
            let expected = try grid.advanced(x, exact.residentBlock(layer), told)
            defer { x = expected }
            return zip(expected, found).reduce(0) { $0 + MeasuredModels.error($1.0, $1.1) } / Double(found.count)
        }
    }

    /// By how many dB an error power falls, on average over draws.
    private static func gain(_ errors: [(before: Double, after: Double)]) -> Double {
        let most = Quality.mostDecibels
        return errors.reduce(0) { sum, error in
            guard error.before.isFinite, error.after.isFinite, error.before > 0 else { return sum }
            return sum + min(most, -Decibels.of(power: max(error.after, 1e-20) / error.before))
        } / Double(max(1, errors.count))
    }

    // MARK: - Decoder

    /// Both decoders are given the checkpoint's latents.
    private func decoder(_ known: PictureWalk.Pictures) throws(InferenceError) -> [Quality.Layer] {
        let candidates = quantized(.vaeDecoder)
        guard !candidates.isEmpty else { return [] }
        let own = try models.pictures(models.packed, known.latents)
        let psnr = try zip(known.pictures, own).map { picture, image throws(InferenceError) in
            QualityMeasurement.likeness(picture, try QualityMeasurement.picture(image)).psnr
        }
        let spread = Quality.Spread(psnr)
        guard spread.median < Quality.Word.goodLimits.median || spread.worst < Quality.Word.goodLimits.worst else { return [] }
        let latents = try allocating(
            try known.latents[0].part(row: 0, column: 0, side: min(Self.pictureSide, known.latents[0].shape[1])))
        let expected = try models.pictures(models.fused, [latents])[0]
        func error(_ weights: any WeightSource) throws(InferenceError) -> Double {
            MeasuredModels.error(expected, try models.pictures(weights, [latents])[0])
        }
        let before = try error(models.packed)
        return try candidates.map { entry throws(InferenceError) in
            Quality.Layer(name: entry.name, gain: Self.gain([(before, try error(models.keeping([entry])))]), judgedBy: .picture)
        }
    }
}
