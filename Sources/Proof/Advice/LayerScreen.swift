import Inference
import PackedFiles
import Tensors

/// What each quantized layer alone does to the velocity, estimated: which layers are worth leaving out one by one where there are too many to try
/// them all.
///
/// A layer alone in int8 displaces the tokens behind its block by so much. How much of that reaches the velocity depends on the blocks that
/// follow, and hardly on which layer of the block it came from: one displacement per block, the largest, is carried to the end. It is carried
/// through the file's own model, which is faster than the checkpoint's, and enlarged, so that what its roundings change on the way is small beside it.
struct LayerScreen {
    let models: AblationModels
    let guidance: Double

    /// The displacement that is carried for a block.
    private struct Carried {
        let layer: Int
        let draw: Int
        /// ||displacement||² of one layer behind the block, and its tokens.
        let power: Double
        var x: Tensor
        /// By how much the displacement was enlarged.
        var factor = 1.0
    }

    /// The size of a carried displacement, relative to the tokens: ten times what int8 rounds off, and still small.
    private static let enlarged = 0.1

    /// Runs one step of all draws.
    /// - Returns: by candidate, the mean over draws of the relative error power that it alone causes, infinite for what is not in a block; and by
    ///   draw, the checkpoint's velocities.
    func run(
        time: Double, inputs: [Tensor], features: [Tensor], candidates: [TensorEntry]
    ) throws(InferenceError) -> (powers: [Double], velocities: [Tensor]) {
        let (exact, file) = (models.exact, models.parts(models.packed))
        let grid = models.grid(inputs[0])
        let right = try AblationModels.Conditions(exact, time, guidance, features)
        let told = try AblationModels.Conditions(file, time, guidance, features)
        var (reference, own) = (try models.tokens(exact, inputs), try models.tokens(file, inputs))
        var carried: [Carried] = []
        // By candidate, by draw.
        var powers = candidates.map { _ in [Double](repeating: .infinity, count: inputs.count) }
        for layer in 0..<models.layers {
            var strongest = try displace(layer, &reference, candidates, &powers, right, grid)
            let block = try file.residentBlock(layer)
            try grid.advance(&own, block, told)
            for index in carried.indices {
                let keyValues = try block.keyValues(of: told.captions[carried[index].draw])
                try block.apply(&carried[index].x, modulation: told.modulation, keyValues: keyValues, height: grid.height, width: grid.width)
            }
            for index in strongest.indices where strongest[index].power > 0 {
                let draw = strongest[index].draw
                strongest[index].factor = Self.enlarged * (Self.distance(own[draw], nil) / strongest[index].power).squareRoot()
                strongest[index].x = try Self.sum(own[draw], strongest[index].x, reference[draw], factor: strongest[index].factor)
                carried.append(strongest[index])
            }
        }
        for item in carried {
            let (found, moved) = (try models.finish(file, own[item.draw], told, inputs[item.draw]), try models.finish(file, item.x, told, inputs[item.draw]))
            let reach = AblationModels.error(found, moved) / (item.factor * item.factor * item.power)
            for (index, entry) in candidates.enumerated() where entry.place == .block(item.layer) { powers[index][item.draw] *= reach }
        }
        var velocities: [Tensor] = []
        for draw in inputs.indices { velocities.append(try models.finish(exact, reference[draw], right, inputs[draw])) }
        return (powers.map { $0.reduce(0, +) / Double(inputs.count) }, velocities)
    }

    /// Runs a block of the checkpoint, and again with each of its candidates in int8.
    /// - Returns: by draw, the tokens that were displaced most.
    private func displace(
        _ layer: Int, _ tokens: inout [Tensor], _ candidates: [TensorEntry], _ powers: inout [[Double]], _ conditions: AblationModels.Conditions,
        _ grid: AblationModels.Grid
    ) throws(InferenceError) -> [Carried] {
        let built = BuiltLayers()
        let after = try grid.advanced(tokens, models.exact.residentBlock(layer, built), conditions)
        var strongest: [Carried] = after.enumerated().map { Carried(layer: layer, draw: $0.offset, power: 0, x: $0.element) }
        for (index, entry) in candidates.enumerated() where entry.place == .block(layer) {
            let source = QuantizedWeights(checkpoint: models.fused, file: models.packed, quantized: entry.name)
            let single = try models.parts(source).residentBlock(layer, built.except([entry.name]))
            for (draw, x) in try grid.advanced(tokens, single, conditions).enumerated() {
                let power = Self.distance(x, after[draw])
                powers[index][draw] = power
                if power > strongest[draw].power { strongest[draw] = Carried(layer: layer, draw: draw, power: power, x: x) }
            }
        }
        tokens = after
        return strongest
    }

    /// ||first - second||², or ||first||².
    private static func distance(_ first: Tensor, _ second: Tensor?) -> Double {
        let left = first.span
        var sum = 0.0
        for index in left.indices {
            let difference = Double(left[index]) - Double(second?.span[index] ?? 0)
            sum += difference * difference
        }
        return sum
    }

    /// base + factor * (displaced - origin).
    private static func sum(_ base: Tensor, _ displaced: Tensor, _ origin: Tensor, factor: Double) throws(InferenceError) -> Tensor {
        try wrap { () throws(AllocationError) in
            var result = try base.copy()
            var elements = result.mutableSpan
            for index in elements.indices { elements[index] += Float(factor * (Double(displaced.span[index]) - Double(origin.span[index]))) }
            return result
        }
    }
}
