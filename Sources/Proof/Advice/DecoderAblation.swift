import Inference
import PackedFiles
import Parity
import Tensors

/// Leave-one-out over the layers of the autoencoder's decoder, judged by the picture.
struct DecoderAblation {
    let models: AblationModels
    let vae: AutoencoderConfiguration
    let places: Int

    /// - Parameter latents: the checkpoint's, of unit variance; at least one.
    func advise(_ candidates: [TensorEntry], _ latents: [Tensor], _ progress: (String) -> Void) throws(InferenceError) -> Advice {
        progress("what each of \(candidates.count) layers of the decoder gains in 16 bits")
        var inputs: [Tensor] = []
        for latent in latents { inputs.append(try wrap { () throws(AllocationError) in try latent.scaled(by: 1 / vae.scalingFactor) }) }
        let expected = try models.pictures(vae, models.fused, inputs)
        func errors(_ weights: any WeightSource) throws(InferenceError) -> [Double] {
            zip(expected, try models.pictures(vae, weights, inputs)).map(AblationModels.error)
        }
        let own = try errors(models.packed)
        var kept = [[Double]](repeating: [], count: inputs.count)
        for entry in candidates {
            for (draw, error) in try errors(models.keeping([entry])).enumerated() { kept[draw].append(error) }
        }
        var race = LeaveOneOut(candidates: candidates.count, places: places)
        for draw in inputs.indices { race.add(steps: [(own[draw], kept[draw])]) }
        let together = try errors(models.keeping(race.ranking.prefix(race.places).map { candidates[$0] }))
        let method =
            "Each layer in turn was taken from the checkpoint in 16 bits and everything else left as in the file: by so much the error of the decoded picture "
            + "falls. Both decoders were given the checkpoint's final latents of \(latents[0].shape[1]) x \(latents[0].shape[2])."
        return try models.advice(
            "Layers of the decoder to keep in 16 bits", method: method, judgedBy: "picture", candidates, race, sqnr: own.map(LeaveOneOut.sqnr),
            together: zip(together, own).map { LeaveOneOut.sqnr($0) - LeaveOneOut.sqnr($1) })
    }
}
