package import Tensors

/// Two weights between which everything is linear in each channel: what one channel is multiplied by in the first can be divided by in the second.
///
/// The values of both attentions, whose outputs are means of them, and the half of a mix-FFN that passes, whose gate is another one.
package struct LinearPair: Sendable {
    /// Packed name of the weight whose inputs the channels are.
    package let consumer: String
    /// Of the weight whose rows make them.
    package let producer: String
    /// Those rows, one for each input.
    package let rows: Range<Int>

    /// The last rows of a producer, as many as the consumer has inputs.
    fileprivate init(_ consumer: WeightRow, last producer: WeightRow) {
        self.init(consumer, producer, producer.shape.rows - consumer.shape.columns)
    }

    fileprivate init(_ consumer: WeightRow, _ producer: WeightRow, _ first: Int) {
        (self.consumer, self.producer, rows) = (consumer.name, producer.name, first..<first + consumer.shape.columns)
    }
}

extension SanaSprintWeights {
    /// The pairs of the transformer and of the autoencoder's decoder.
    package static func linearPairs(_ configuration: SanaSprintConfiguration, fusions: Fusions) -> [LinearPair] {
        var pairs: [LinearPair] = []
        for block in TransformerRows(configuration.transformer, fusions, nil).blocks {
            for (output, projections) in [(block.selfOutput, block.selfProjections), (block.crossOutput, block.crossKeyValues)] {
                pairs.append(LinearPair(output.weight, last: projections[projections.count - 1].weight))
            }
            pairs.append(LinearPair(block.feedForward.output.weight, block.feedForward.depthwise.weight, 0))
        }
        guard let vae = configuration.vae else { return pairs }
        for case .efficientViT(let block) in AutoencoderRows(decoder: vae, fusions).stages.compactMap({ $0 }).flatMap(\.blocks) {
            pairs.append(LinearPair(block.feedForward.output.weight, block.feedForward.depthwise.weight, 0))
        }
        return pairs
    }
}
