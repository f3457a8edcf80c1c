import Inference
import PackedFiles
import Parity
import Tensors

/// One step of the transformer for many models at once: the checkpoint's, the file's, and the file's with one layer of the checkpoint's for
/// each candidate.
///
/// All of them go through a block before the next is loaded, so that every weight is read once and one block is in memory. A model with a kept
/// layer is the file's up to that layer: it sets out from the file's tokens there.
struct VelocityWave {
    let exact: ModelParts
    let packed: any WeightSource
    /// The file's weights with some layers of the checkpoint's.
    let keeping: ([TensorEntry]) -> any WeightSource
    let guidance: Double

    /// What came out for each draw.
    struct Result {
        /// The checkpoint's velocity, `[channels, side, side]`.
        var velocity: Tensor
        /// ||other - velocity||² / ||velocity||² of the file's.
        var error: Double
        /// The same with each candidate kept.
        var kept: [Double]
    }

    /// Where a tensor acts.
    private enum Place: Equatable {
        case conditioning, patch, block(Int), end

        init(_ name: String) {
            let blocks = "dit.blocks."
            if name.hasPrefix(blocks), let index = Int(name.dropFirst(blocks.count).prefix { $0 != "." }) {
                self = .block(index)
            } else if name.hasPrefix("dit.out.") {
                self = .end
            } else {
                self = name.hasPrefix("dit.patch.") ? .patch : .conditioning
            }
        }
    }

    /// What the blocks are told besides their tokens.
    private struct Conditions {
        let embedding: Tensor
        let modulation: Tensor
        /// By draw.
        let captions: [Tensor]

        init(_ parts: ModelParts, _ time: Double, _ guidance: Double, _ features: [Tensor]) throws(InferenceError) {
            let loaded = try parts.loadConditioning()
            (embedding, modulation) = try loaded.embed(time: time, guidance: guidance)
            var captions: [Tensor] = []
            for rows in features { captions.append(try loaded.caption(rows)) }
            self.captions = captions
        }
    }

    /// The tokens of one draw on their way through the file's model with one layer kept.
    private struct Stream {
        let candidate: Int
        let draw: Int
        var x: Tensor
        /// Its own where the kept layer is before the blocks.
        var conditions: Conditions?
    }

    /// Runs one step of all draws.
    ///
    /// - Parameters:
    ///   - inputs: by draw, what the network sees at flow time `time`, `[channels, side, side]`.
    ///   - features: by draw.
    func run(time: Double, inputs: [Tensor], features: [Tensor], candidates: [TensorEntry]) throws(InferenceError) -> [Result] {
        let file = ModelParts(exact.configuration, from: packed)
        let patch = exact.configuration.transformer.patch
        let (height, width) = (inputs[0].shape[1] / patch, inputs[0].shape[2] / patch)
        let (right, told) = (try Conditions(exact, time, guidance, features), try Conditions(file, time, guidance, features))
        var (reference, own) = (try tokens(exact, inputs), try tokens(file, inputs))
        var streams: [Stream] = []
        for (index, entry) in candidates.enumerated() where [.conditioning, .patch].contains(Place(entry.name)) {
            let kept = ModelParts(exact.configuration, from: keeping([entry]))
            let conditions = Place(entry.name) == .conditioning ? try Conditions(kept, time, guidance, features) : nil
            for (draw, x) in try tokens(kept, inputs).enumerated() { streams.append(Stream(candidate: index, draw: draw, x: x, conditions: conditions)) }
        }
        for layer in 0..<exact.configuration.transformer.layers {
            try advance(&reference, exact.loadBlock(layer), right, height, width)
            var born: [Stream] = []
            for (index, entry) in candidates.enumerated() where Place(entry.name) == .block(layer) {
                var copies: [Tensor] = []
                for x in own { copies.append(try wrap { () throws(AllocationError) in try x.copy() }) }
                try advance(&copies, ModelParts(exact.configuration, from: keeping([entry])).loadBlock(layer), told, height, width)
                for (draw, x) in copies.enumerated() { born.append(Stream(candidate: index, draw: draw, x: x)) }
            }
            try advance(&streams, &own, file.loadBlock(layer), told, height, width)
            streams += born
        }
        var results: [Result] = []
        for draw in inputs.indices {
            let velocity = try finish(exact, reference[draw], right, inputs[draw])
            let error = Self.error(velocity, try finish(file, own[draw], told, inputs[draw]))
            results.append(Result(velocity: velocity, error: error, kept: [Double](repeating: error, count: candidates.count)))
        }
        for stream in streams {
            let velocity = try finish(file, stream.x, stream.conditions ?? told, inputs[stream.draw])
            results[stream.draw].kept[stream.candidate] = Self.error(results[stream.draw].velocity, velocity)
        }
        for (index, entry) in candidates.enumerated() where Place(entry.name) == .end {
            let kept = ModelParts(exact.configuration, from: keeping([entry]))
            for draw in inputs.indices {
                results[draw].kept[index] = Self.error(results[draw].velocity, try finish(kept, own[draw], told, inputs[draw]))
            }
        }
        return results
    }

    private func tokens(_ parts: ModelParts, _ inputs: [Tensor]) throws(InferenceError) -> [Tensor] {
        var result: [Tensor] = []
        for latents in inputs { result.append(try parts.patchEmbedding(latents)) }
        return result
    }

    /// Runs a block on the tokens of each draw.
    private func advance(
        _ tokens: inout [Tensor], _ block: ModelParts.Block, _ conditions: Conditions, _ height: Int, _ width: Int
    ) throws(InferenceError) {
        for draw in tokens.indices {
            let keyValues = try block.keyValues(of: conditions.captions[draw])
            try block.apply(&tokens[draw], modulation: conditions.modulation, keyValues: keyValues, height: height, width: width)
        }
    }

    /// Runs a block of the file on the file's own tokens and on all streams that are past their kept layer.
    private func advance(
        _ streams: inout [Stream], _ own: inout [Tensor], _ block: ModelParts.Block, _ told: Conditions, _ height: Int, _ width: Int
    ) throws(InferenceError) {
        var shared: [Tensor] = []
        for caption in told.captions { shared.append(try block.keyValues(of: caption)) }
        for draw in own.indices {
            try block.apply(&own[draw], modulation: told.modulation, keyValues: shared[draw], height: height, width: width)
        }
        for index in streams.indices {
            let draw = streams[index].draw
            let conditions = streams[index].conditions
            let keyValues = if let conditions { try block.keyValues(of: conditions.captions[draw]) } else { shared[draw] }
            try block.apply(
                &streams[index].x, modulation: (conditions ?? told).modulation, keyValues: keyValues, height: height, width: width)
        }
    }

    /// The velocity of the last block's tokens.
    private func finish(_ parts: ModelParts, _ x: Tensor, _ conditions: Conditions, _ input: Tensor) throws(InferenceError) -> Tensor {
        try parts.output(try parts.outputNorm(x, embedding: conditions.embedding), height: input.shape[1], width: input.shape[2])
    }

    private static func error(_ reference: Tensor, _ other: Tensor) -> Double {
        let distance = Metrics(reference: reference, other: other).relativeL2
        return distance * distance
    }
}
