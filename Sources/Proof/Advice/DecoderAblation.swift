import Inference
import PackedFiles
import Parity
import Quality
import Tensors

/// Leave-one-out over the layers of the autoencoder's decoder, judged by the picture.
struct DecoderAblation {
    let models: MeasuredModels
    let options: Advisor.Options

    /// For each pixel of the latents: a weight of a later stage meets hundreds of pixels, but most weights are in the first.
    private static let productsPerWeight = 25.0

    /// - Parameter latents: the checkpoint's of some draws, of unit variance and all of one shape.
    /// - Precondition: at least one candidate.
    func advise(
        _ candidates: [TensorEntry], _ progress: (String) -> Void, latents: (Range<Int>) throws(InferenceError) -> [Tensor]
    ) throws(InferenceError) -> Advice {
        var race = LeaveOneOut(candidates: candidates.count, places: options.places)
        var (inputs, expected, own): ([Tensor], [Tensor], [Double]) = ([], [], [])
        let pixels = Double(options.mostPictureSide * options.mostPictureSide)
        let products = Self.productsPerWeight * pixels * candidates.reduce(0) { $0 + Double($1.shape.elementCount) }
        let work = options.work(products)
        try race.run(first: options.firstPictures, most: options.draws(options.mostPictures, work: work), work: work) { draws, running throws(InferenceError) in
            progress("what each of \(running.count) layers of the decoder gains in 16 bits, after \(draws.lowerBound) draws")
            let fresh = try latents(draws)
            let pictures = try models.pictures(models.fused, fresh)
            func errors(_ weights: any WeightSource) throws(InferenceError) -> [Double] {
                zip(pictures, try models.pictures(weights, fresh)).map(MeasuredModels.error)
            }
            let base = try errors(models.packed)
            var kept = [[Double]](repeating: [], count: fresh.count)
            for candidate in running {
                for (draw, error) in try errors(models.keeping([candidates[candidate]])).enumerated() { kept[draw].append(error) }
            }
            (inputs, expected, own) = (inputs + fresh, expected + pictures, own + base)
            return zip(base, kept).map { [($0, $1)] }
        }
        let best = models.keeping(race.ranking.prefix(race.places).map { candidates[$0] })
        let together = zip(expected, try models.pictures(best, inputs)).map(MeasuredModels.error)
        let method =
            "Each layer in turn was taken from the checkpoint in 16 bits and everything else left as in the file: by so much the error of the decoded picture "
            + "falls. Both decoders were given the checkpoint's final latents, \(inputs[0].shape[1]) x \(inputs[0].shape[2]) of a draw. \(LeaveOneOut.method)"
        return try models.advice(
            "Layers of the decoder to keep in 16 bits", method: method, judgedBy: "picture", candidates, race, sqnr: own.map(LeaveOneOut.sqnr),
            together: zip(together, own).map { LeaveOneOut.sqnr($0) - LeaveOneOut.sqnr($1) })
    }
}
