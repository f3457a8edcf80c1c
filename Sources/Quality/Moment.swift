package import Inference
import Operations
package import Tensors

/// What the network sees at one flow time, of some draws.
package struct Moment {
    let time: Double
    /// `[channels, side, side]` each.
    var inputs: [Tensor]
    /// Whose features go with each of the inputs.
    var draws: [Int]

    package init(time: Double, inputs: [Tensor], draws: [Int]) { (self.time, self.inputs, self.draws) = (time, inputs, draws) }
}

extension ModelParts {
    /// The velocities at some moments, in one pass over the weights.
    /// - Parameters:
    ///   - features: by draw.
    ///   - progress: is told before each block.
    /// - Returns: by moment, by input.
    package func velocities(
        _ guidance: Double, _ moments: [Moment], _ features: [Tensor], _ progress: () -> Void = {}
    ) throws(InferenceError) -> [[Tensor]] {
        let told = try MeasuredModels.Conditions.at(moments.map(\.time), self, guidance, features)
        var streams = try moments.map { moment throws(InferenceError) in try tokens(moment.inputs) }
        for layer in 0..<configuration.transformer.layers {
            progress()
            let block = try residentBlock(layer)
            for (index, moment) in moments.enumerated() {
                try grid(moment.inputs[0]).advance(&streams[index], of: moment.draws, block, told[index])
            }
        }
        return try moments.enumerated().map { index, moment throws(InferenceError) in
            try zip(streams[index], moment.inputs).map { x, input throws(InferenceError) in try finish(x, told[index], input) }
        }
    }
}
