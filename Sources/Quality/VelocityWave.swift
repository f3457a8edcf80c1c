package import Inference
package import Operations
package import PackedFiles
package import Tensors

/// One step of the transformer for many models at once: the checkpoint's, a file's, and the file's with one layer of other weights for each candidate.
///
/// All of the file's go through a block before the next is loaded, many in one product, so that every weight is read once and one block is in
/// memory. A model with another layer is the file's up to that layer: it sets out from the file's tokens there.
package struct VelocityWave<E: Executor> {
    /// The checkpoint's model.
    let exact: ModelParts<E>
    /// The file's, or the file's with some layers kept.
    let file: ModelParts<E>
    let guidance: Double

    /// A model that differs from the file's in one place.
    package struct Candidate {
        /// Of the weights that differ.
        let names: [String]
        let place: TransformerPlace
        let parts: ModelParts<E>

        init(_ name: String, _ parts: ModelParts<E>) { self.init([name], TransformerPlace(of: name), parts) }

        init(_ names: [String], _ place: TransformerPlace, _ parts: ModelParts<E>) { (self.names, self.place, self.parts) = (names, place, parts) }
    }

    init(exact: ModelParts<E>, file: ModelParts<E>, guidance: Double) { (self.exact, self.file, self.guidance) = (exact, file, guidance) }

    /// What came out for one draw.
    package struct Result {
        /// The checkpoint's velocity, `[channels, side, side]`.
        package var velocity: Tensor
        /// ||other - velocity||² / ||velocity||² of the file's.
        package var error: Double
        /// The same of each candidate.
        package var kept: [Double]
    }

    /// Tokens on their way through the file's model, each for one draw and one candidate, whose layer lies behind them.
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
    ///   - progress: is told before each block.
    package func run(
        time: Double, inputs: [Tensor], features: [Tensor], candidates: [Candidate], known: [Tensor]? = nil, _ progress: () -> Void = {}
    ) throws(InferenceError) -> [Result] {
        let grid = file.grid(inputs[0])
        let told = try MeasuredModels.Conditions(file, time, guidance, features)
        let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
        let velocities = if let known { known } else { try exact.velocities(guidance, [moment], features)[0] }
        var own = try file.tokens(inputs)
        var streams = Streams()
        // Those that are told something else on their way, since the candidate's layer computes what all blocks are told.
        var others: [(streams: Streams, told: MeasuredModels.Conditions)] = []
        for (index, candidate) in candidates.enumerated() {
            switch candidate.place {
            case .patch: streams.add(index, try candidate.parts.tokens(inputs))
            case .conditioning:
                others.append((Streams(), try MeasuredModels.Conditions(candidate.parts, time, guidance, features)))
                others[others.count - 1].streams.add(index, own)
            case .block, .end: break
            }
        }
        for layer in 0..<file.configuration.transformer.layers {
            progress()
            let built = BuiltLayers()
            let block = try file.residentBlock(layer, built)
            try grid.advance(&streams.tokens, of: streams.draws, block, told)
            for index in others.indices { try grid.advance(&others[index].streams.tokens, of: others[index].streams.draws, block, others[index].told) }
            for (index, candidate) in candidates.enumerated() where candidate.place == .block(layer) {
                let other = try candidate.parts.residentBlock(layer, built.except(candidate.names))
                streams.add(index, try grid.advanced(own, other, told))
            }
            own = try grid.advanced(own, block, told)
        }
        var results: [Result] = []
        for draw in inputs.indices {
            let velocity = velocities[draw]
            let error = MeasuredModels.error(velocity, try file.finish(own[draw], told, inputs[draw]))
            results.append(Result(velocity: velocity, error: error, kept: [Double](repeating: error, count: candidates.count)))
        }
        func finish(_ streams: Streams, _ parts: ModelParts<E>, _ told: MeasuredModels.Conditions) throws(InferenceError) {
            for (index, x) in streams.tokens.enumerated() {
                let draw = streams.draws[index]
                let velocity = try parts.finish(x, told, inputs[draw])
                results[draw].kept[streams.candidates[index]] = MeasuredModels.error(results[draw].velocity, velocity)
            }
        }
        try finish(streams, file, told)
        for other in others { try finish(other.streams, file, other.told) }
        for (index, candidate) in candidates.enumerated() where candidate.place == .end {
            var last = Streams()
            last.add(index, own)
            try finish(last, candidate.parts, told)
        }
        return results
    }
}

extension VelocityWave<CPU> {
    package init(models: MeasuredModels, packed: any WeightSource, guidance: Double) {
        self.init(exact: models.exact, file: models.parts(packed), guidance: guidance)
    }
}
