import Inference
import PackedFiles
import Parity
import Tensors

/// One step of the transformer for many models at once: the checkpoint's, the file's, and the file's with one layer of the checkpoint's for
/// each candidate.
///
/// All of the file's go through a block before the next is loaded, so that every weight is read once and one block is in memory. A model with a kept
/// layer is the file's up to that layer: it sets out from the file's tokens there.
struct VelocityWave {
    let models: AblationModels
    /// The file's weights, or those with some layers kept.
    let packed: any WeightSource
    let guidance: Double

    /// What came out for one draw.
    struct Result {
        /// The checkpoint's velocity, `[channels, side, side]`.
        var velocity: Tensor
        /// ||other - velocity||² / ||velocity||² of the file's.
        var error: Double
        /// The same with each candidate kept.
        var kept: [Double]
    }

    /// The tokens of one draw on their way through the file's model with one layer kept.
    private struct Stream {
        let candidate: Int
        let draw: Int
        var x: Tensor
        /// Its own where the kept layer is before the blocks.
        var conditions: AblationModels.Conditions?
    }

    /// Runs one step of all draws.
    ///
    /// - Parameters:
    ///   - inputs: by draw, what the network sees at flow time `time`, `[channels, side, side]`.
    ///   - features: by draw.
    ///   - known: by draw, the checkpoint's velocities where they have been computed before.
    func run(
        time: Double, inputs: [Tensor], features: [Tensor], candidates: [TensorEntry], known: [Tensor]? = nil
    ) throws(InferenceError) -> [Result] {
        let file = models.parts(packed)
        let grid = models.grid(inputs[0])
        let told = try AblationModels.Conditions(file, time, guidance, features)
        let velocities = if let known { known } else { try expected(time, inputs, features) }
        var own = try models.tokens(file, inputs)
        var streams: [Stream] = []
        for (index, entry) in candidates.enumerated() where [.conditioning, .patch].contains(entry.place) {
            let kept = models.parts(models.keeping([entry]))
            let conditions = entry.place == .conditioning ? try AblationModels.Conditions(kept, time, guidance, features) : nil
            for (draw, x) in try models.tokens(kept, inputs).enumerated() {
                streams.append(Stream(candidate: index, draw: draw, x: x, conditions: conditions))
            }
        }
        for layer in 0..<models.layers {
            let built = BuiltLayers()
            let block = try file.residentBlock(layer, built)
            var born: [Stream] = []
            for (index, entry) in candidates.enumerated() where entry.place == .block(layer) {
                let kept = try models.parts(models.keeping([entry])).residentBlock(layer, built.except([entry.name]))
                for (draw, x) in try grid.advanced(own, kept, told).enumerated() { born.append(Stream(candidate: index, draw: draw, x: x)) }
            }
            try advance(&streams, block, told, grid)
            try grid.advance(&own, block, told)
            streams += born
        }
        var results: [Result] = []
        for draw in inputs.indices {
            let velocity = velocities[draw]
            let error = AblationModels.error(velocity, try models.finish(file, own[draw], told, inputs[draw]))
            results.append(Result(velocity: velocity, error: error, kept: [Double](repeating: error, count: candidates.count)))
        }
        for stream in streams {
            let velocity = try models.finish(file, stream.x, stream.conditions ?? told, inputs[stream.draw])
            results[stream.draw].kept[stream.candidate] = AblationModels.error(results[stream.draw].velocity, velocity)
        }
        for (index, entry) in candidates.enumerated() where entry.place == .end {
            let kept = models.parts(models.keeping([entry]))
            for draw in inputs.indices {
                let velocity = try models.finish(kept, own[draw], told, inputs[draw])
                results[draw].kept[index] = AblationModels.error(results[draw].velocity, velocity)
            }
        }
        return results
    }

    /// The checkpoint's velocities.
    private func expected(_ time: Double, _ inputs: [Tensor], _ features: [Tensor]) throws(InferenceError) -> [Tensor] {
        let (exact, grid) = (models.exact, models.grid(inputs[0]))
        let told = try AblationModels.Conditions(exact, time, guidance, features)
        var tokens = try models.tokens(exact, inputs)
        for layer in 0..<models.layers { try grid.advance(&tokens, exact.residentBlock(layer), told) }
        var result: [Tensor] = []
        for draw in inputs.indices { result.append(try models.finish(exact, tokens[draw], told, inputs[draw])) }
        return result
    }

    /// Runs a block of the file on all streams that are past their kept layer.
    private func advance(
        _ streams: inout [Stream], _ block: ModelParts.ResidentBlock, _ told: AblationModels.Conditions, _ grid: AblationModels.Grid
    ) throws(InferenceError) {
        var shared: [PackedKeyValues] = []
        for caption in told.captions { shared.append(try block.keyValues(of: caption)) }
        for index in streams.indices {
            let draw = streams[index].draw
            let conditions = streams[index].conditions
            let keyValues = if let conditions { try block.keyValues(of: conditions.captions[draw]) } else { shared[draw] }
            try block.apply(
                &streams[index].x, modulation: (conditions ?? told).modulation, keyValues: keyValues, height: grid.height, width: grid.width)
        }
    }
}
