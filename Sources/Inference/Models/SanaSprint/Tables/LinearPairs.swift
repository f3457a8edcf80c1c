import Tensors

/// Two weights between which everything is linear in each channel: what one channel is multiplied by in the first can be divided by in the second.
///
/// The values of both attentions, whose outputs are means of them, and the half of a mix-FFN that passes, whose gate is another one.
package struct LinearPair: Sendable {
    /// Packed name of the weight whose inputs the channels are.
    package let consumer: String
    /// Those of its inputs.
    package let inputs: Range<Int>
    /// Of the weight whose rows make them.
    package let producer: String
    /// Those rows, one for each input, ascending.
    package let rows: [Int]
}

extension SanaSprintWeights {
    /// The pairs of the transformer, of a control network and of the autoencoder's decoder.
    package static func linearPairs(_ configuration: SanaSprintConfiguration, fusions: Fusions) -> [LinearPair] {
        func pair(_ consumer: WeightRow, _ producer: WeightRow, first: Int = 0) -> LinearPair {
            let inputs = consumer.shape.columns
            return LinearPair(consumer: consumer.name, inputs: 0..<inputs, producer: producer.name, rows: Array(first..<first + inputs))
        }
        var pairs: [LinearPair] = []
        let control = configuration.control.map { ControlRows($0, fusions).blocks } ?? []
        for block in TransformerRows(configuration.transformer, fusions, nil).blocks + control {
            for (output, projections) in [(block.selfOutput, block.selfProjections), (block.crossOutput, block.crossKeyValues)] {
                // Values come last, with or without the projections before them in one weight.
                let producer = projections[projections.count - 1].weight
                pairs.append(pair(output.weight, producer, first: producer.shape.rows - output.weight.shape.columns))
            }
            pairs.append(pair(block.feedForward.output.weight, block.feedForward.depthwise.weight))
        }
        guard let vae = configuration.vae else { return pairs }
        for case .efficientViT(let block) in AutoencoderRows(decoder: vae, fusions).stages.compactMap({ $0 }).flatMap(\.blocks) {
            pairs.append(pair(block.feedForward.output.weight, block.feedForward.depthwise.weight))
            // Queries, keys and values lie head by head, here and in each scale's branch. In three weights they mean nothing by themselves.
            guard block.projections.count == 1 else { continue }
            let (size, width) = (vae.headDimension, block.projections[0].weight.shape.rows / 3)
            let values = (0..<width).map { $0 / size * 3 * size + 2 * size + $0 % size }
            for (place, producer) in ([block.projections[0]] + block.scales.map(\.pointwise)).enumerated() {
                pairs.append(
                    LinearPair(
                        consumer: block.output.weight.name, inputs: place * width..<(place + 1) * width, producer: producer.weight.name, rows: values))
            }
        }
        return pairs
    }
}
