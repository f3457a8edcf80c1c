import Operations
import Tensors

extension AutoencoderEncoder {
    /// Encoding a picture `[c, height, width]`: at the moment that takes the most, the weights that are there, and a map with what is made of it.
    static func footprint(
        _ c: AutoencoderConfiguration, _ fusions: Fusions, _ sizes: WeightSizes<E>, height: Int, width: Int
    ) -> Footprint {
        let rows = AutoencoderRows(encoder: c, fusions)
        var walk = FootprintWalk(sizes, c, (height, width, c.imageChannels))
        func loading(_ name: String) -> Footprint { sizes.loading("vae.enc.\(name).", held: { _ in false }) }
        func downsample(_ rows: Parameters, _ weights: Footprint) {
            walk.make()
            let before = walk.mapBytes
            walk.append(c.unshuffles ? .convolution(sizes.size(rows)) : .halving(sizes.size(rows)), weights)
            walk.make()
            if c.unshuffles { walk.map = (walk.map.height / 2, walk.map.width / 2, walk.map.channels * 4) }
            // The map beside what was made of it, rearranged where pixels become channels; then both rearranged, for the shortcut.
            walk.note(Footprint(), 2 * before + 2 * walk.mapBytes)
        }

        // The picture with its channels last.
        walk.note(Footprint(), 2 * walk.mapBytes)
        if c.encoder.hasTopStage {
            walk.append(.convolution(sizes.size(rows.first)), loading("conv_in"))
        } else {
            downsample(rows.first, loading("conv_in"))
        }
        for (index, stage) in rows.stages.enumerated() {
            guard let stage else { continue }
            walk.append(stage.blocks) { loading("stage.\(index).block.\(SanaSprintWeights.number($0))") }
            if let down = stage.resampling { downsample(down, loading("stage.\(index).down")) }
        }
        walk.make()
        walk.append(.convolution(sizes.size(rows.last)), loading("conv_out"))
        let before = walk.mapBytes
        walk.make()
        walk.note(Footprint(), before + 2 * walk.mapBytes)
        return walk.most
    }
}
