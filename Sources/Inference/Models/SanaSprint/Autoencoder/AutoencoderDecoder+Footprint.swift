import Operations
import Tensors

extension AutoencoderDecoder {
    /// Decoding latents `[c, height, width]`: at the moment that takes the most, the weights that are there, and a map with what is made of it.
    static func footprint(
        _ c: AutoencoderConfiguration, _ fusions: Fusions, _ sizes: WeightSizes<E>, height: Int, width: Int, _ held: (WeightSummary) -> Bool
    ) -> Footprint {
        let rows = AutoencoderRows(decoder: c, fusions)
        var walk = FootprintWalk(sizes, c, (height, width, c.latentChannels))
        func loading(_ name: String) -> Footprint { sizes.loading("vae.dec.\(name).", held: held) }
        func upsampling(_ rows: Parameters) -> RowWork {
            c.interpolates ? .doubling(sizes.size(rows)) : .shuffling(sizes.size(rows), often: true)
        }

        walk.append(.convolution(sizes.size(rows.first)), loading("conv_in"))
        walk.make()
        for (index, stage) in rows.stages.enumerated().reversed() {
            guard let stage else { continue }
            if let up = stage.resampling { walk.append(upsampling(up), loading("stage.\(index).up")) }
            walk.append(stage.blocks) { loading("stage.\(index).block.\(SanaSprintWeights.number($0))") }
        }
        if rows.norm != nil { walk.append(.norm, loading("norm")) }
        walk.append(c.decoder.hasTopStage ? .convolution(sizes.size(rows.last)) : upsampling(rows.last), loading("conv_out"))
        walk.make()
        // The picture's channels come first in the end.
        walk.note(Footprint(), 2 * walk.mapBytes)
        return walk.most
    }
}
