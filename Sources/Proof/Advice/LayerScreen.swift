import Inference
import PackedFiles
import Tensors

/// What each quantized layer alone does to the checkpoint's velocity, estimated: which layers are worth leaving out one by one where there are
/// too many to try them all.
///
/// A layer alone in int8 moves the tokens behind its block by so much. How much of that reaches the velocity depends on the blocks behind it,
/// and hardly on which layer of the block it came from: one layer's displacement per block, the largest, is carried to the end.
struct LayerScreen {
    let models: AblationModels
    let guidance: Double

    /// The displacement that is carried for a block.
    private struct Carried {
        let layer: Int
        let draw: Int
        /// ||displacement||² behind the block.
        let power: Double
        var x: Tensor
    }

    /// Runs one step of all draws.
    /// - Returns: by candidate, the mean over draws of the relative error power that it alone causes, infinite for what is not in a block; and by
    ///   draw, the checkpoint's velocities.
    func run(time: Double, inputs: [Tensor], features: [Tensor], candidates: [TensorEntry]) throws(InferenceError) -> (powers: [Double], velocities: [Tensor]) {
        let exact = models.exact
        let grid = models.grid(inputs[0])
        let conditions = try AblationModels.Conditions(exact, time, guidance, features)
        var reference = try models.tokens(exact, inputs)
        var carried: [Carried] = []
        // By candidate, by draw.
        var powers = candidates.map { _ in [Double](repeating: .infinity, count: inputs.count) }
        for layer in 0..<models.layers {
            let built = BuiltLayers()
            let block = try exact.residentBlock(layer, built)
            let before = try copies(reference)
            try grid.advance(&reference, block, conditions)
            for index in carried.indices {
                let keyValues = try block.keyValues(of: conditions.captions[carried[index].draw])
                try block.apply(
                    &carried[index].x, modulation: conditions.modulation, keyValues: keyValues, height: grid.height, width: grid.width)
            }
            var strongest = [Carried?](repeating: nil, count: inputs.count)
            for (index, entry) in candidates.enumerated() where entry.place == .block(layer) {
                let source = QuantizedWeights(checkpoint: models.fused, file: models.packed, quantized: entry.name)
                let single = try models.parts(source).residentBlock(layer, built.except([entry.name]))
                for (draw, x) in try grid.advanced(before, single, conditions).enumerated() {
                    let power = Self.distance(x, reference[draw])
                    powers[index][draw] = power
                    if power > strongest[draw]?.power ?? -1 { strongest[draw] = Carried(layer: layer, draw: draw, power: power, x: x) }
                }
            }
            carried += strongest.compactMap { $0 }
        }
        var velocities: [Tensor] = []
        for draw in inputs.indices { velocities.append(try models.finish(exact, reference[draw], conditions, inputs[draw])) }
        for item in carried {
            let velocity = try models.finish(exact, item.x, conditions, inputs[item.draw])
            let reach = item.power > 0 ? AblationModels.error(velocities[item.draw], velocity) / item.power : 0
            for (index, entry) in candidates.enumerated() where entry.place == .block(item.layer) { powers[index][item.draw] *= reach }
        }
        return (powers.map { $0.reduce(0, +) / Double(inputs.count) }, velocities)
    }

    private func copies(_ tensors: [Tensor]) throws(InferenceError) -> [Tensor] {
        var result: [Tensor] = []
        for tensor in tensors { result.append(try wrap { () throws(AllocationError) in try tensor.copy() }) }
        return result
    }

    private static func distance(_ first: Tensor, _ second: Tensor) -> Double {
        let (left, right) = (first.span, second.span)
        var sum = 0.0
        for index in left.indices {
            let difference = Double(left[index]) - Double(right[index])
            sum += difference * difference
        }
        return sum
    }
}
