package import Inference
import Operations
package import PackedFiles
package import Tensors

/// One step of the transformer for many models at once: the checkpoint's, the file's, and the file's with one layer of the checkpoint's for
/// each candidate.
///
/// All of the file's go through a block before the next is loaded, many in one product, so that every weight is read once and one block is in
/// memory. A model with a kept layer is the file's up to that layer: it sets out from the file's tokens there.
package struct VelocityWave {
    let models: MeasuredModels
    /// The file's weights, or those with some layers kept.
    let packed: any WeightSource
    let guidance: Double

    package init(models: MeasuredModels, packed: any WeightSource, guidance: Double) { (self.models, self.packed, self.guidance) = (models, packed, guidance) }

    /// What came out for one draw.
    package struct Result {
        /// The checkpoint's velocity, `[channels, side, side]`.
        package var velocity: Tensor
        /// ||other - velocity||² / ||velocity||² of the file's.
        package var error: Double
        /// The same with each candidate kept.
        package var kept: [Double]
    }

    /// Tokens on their way through the file's model, each for one draw with one layer kept, which lies behind them.
    private struct Streams {
        var candidates: [Int] = []
        var draws: [Int] = []
        var tokens: [Tensor] = []

        /// Sets out with the tokens of all draws.
        mutating func add(_ candidate: Int, _ tokens: [Tensor]) {
            for (draw, x) in tokens.enumerated() {
                candidates.append(candidate)
                draws.append(draw)
                self.tokens.append(x)
            }
        }
    }

    /// Runs one step of all draws.
    ///
    /// - Parameters:
    ///   - inputs: by draw, what the network sees at flow time `time`, `[channels, side, side]`.
    ///   - features: by draw.
    ///   - known: by draw, the checkpoint's velocities where they have been computed before.
    package func run(
        time: Double, inputs: [Tensor], features: [Tensor], candidates: [TensorEntry], known: [Tensor]? = nil
    ) throws(InferenceError) -> [Result] {
        let file = models.parts(packed)
        let grid = file.grid(inputs[0])
        let told = try MeasuredModels.Conditions(file, time, guidance, features)
        let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
        let velocities = if let known { known } else { try models.exact.velocities(guidance, [moment], features)[0] }
        var own = try file.tokens(inputs)
        var streams = Streams()
        // Those that are told something else on their way, since the kept layer computes what all blocks are told.
        var others: [(streams: Streams, told: MeasuredModels.Conditions)] = []
        for (index, entry) in candidates.enumerated() {
            let kept = models.parts(models.keeping([entry]))
            switch entry.place {
            case .patch: streams.add(index, try kept.tokens(inputs))
            case .conditioning:
                others.append((Streams(), try MeasuredModels.Conditions(kept, time, guidance, features)))
                others[others.count - 1].streams.add(index, own)
            case .block, .end: break
            }
        }
        for layer in 0..<models.layers {
            let built = BuiltLayers()
            let block = try file.residentBlock(layer, built)
            try grid.advance(&streams.tokens, of: streams.draws, block, told)
            for index in others.indices { try grid.advance(&others[index].streams.tokens, of: others[index].streams.draws, block, others[index].told) }
            for (index, entry) in candidates.enumerated() where entry.place == .block(layer) {
                let kept = try models.parts(models.keeping([entry])).residentBlock(layer, built.except([entry.name]))
                streams.add(index, try grid.advanced(own, kept, told))
            }
            own = try grid.advanced(own, block, told)
        }
        var results: [Result] = []
        for draw in inputs.indices {
            let velocity = velocities[draw]
            let error = MeasuredModels.error(velocity, try file.finish(own[draw], told, inputs[draw]))
            results.append(Result(velocity: velocity, error: error, kept: [Double](repeating: error, count: candidates.count)))
        }
        func finish(_ streams: Streams, _ parts: ModelParts<CPU>, _ told: MeasuredModels.Conditions) throws(InferenceError) {
            for (index, x) in streams.tokens.enumerated() {
                let draw = streams.draws[index]
                let velocity = try parts.finish(x, told, inputs[draw])
                results[draw].kept[streams.candidates[index]] = MeasuredModels.error(results[draw].velocity, velocity)
            }
        }
        try finish(streams, file, told)
        for other in others { try finish(other.streams, file, other.told) }
        for (index, entry) in candidates.enumerated() where entry.place == .end {
            var last = Streams()
            last.add(index, own)
            try finish(last, models.parts(models.keeping([entry])), told)
        }
        return results
    }
}
