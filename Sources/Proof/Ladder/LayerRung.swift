import Conversion
import Inference
import Parity
import Tensors

/// P5: whole layers of the runtime in float32 against a second program for the same formulas in float64.
///
/// The comparison with PyTorch itself is `compare`'s, of traces.
struct LayerRung: LadderRung {
    private(set) var outcome = Outcome()

    /// - Parameter runtime: the checkpoint's weights as the runtime takes them.
    init(_ inputs: LayerInputs, runtime: CheckpointWeights) throws {
        var measured = Measurements(limit: 1e-5)
        let (configuration, source) = (inputs.configuration, inputs.plain)
        let parts = ModelParts(configuration, from: runtime, on: inputs.executor)
        let side = LayerInputs.side
        if let tokens = inputs.tokens, let modulation = inputs.modulation, let caption = inputs.caption {
            let (vector, prompt) = (modulation.elements.map(Double.init), Matrix64(caption))
            for index in LayerInputs.chosen(configuration.transformer.layers) {
                let expected = try Models64.block(
                    index, Matrix64(tokens), modulation: vector, caption: prompt, height: side, width: side, configuration.transformer, source)
                measured.add(
                    "dit.blocks.\(index)", expected: expected,
                    found: try parts.block(index, tokens, modulation: modulation, caption: caption, height: side, width: side))
            }
        }
        if let hidden = inputs.hidden, let text = configuration.text {
            for index in LayerInputs.chosen(text.layers) {
                measured.add(
                    "text.layers.\(index)", expected: try Models64.textLayer(index, Matrix64(hidden), text, source), found: try parts.textLayer(index, hidden))
            }
        }
        if let vae = configuration.vae {
            for (index, map) in try inputs.maps() {
                let expected = try Models64.decoderStage(index, map, vae, source)
                measured.add("vae.dec.stage.\(index)", expected: expected, found: try parts.decoderStage(index, map))
            }
        }
        outcome = measured.outcome(
            "P5", "whole layers compute what the formulas say in float64", unit: "layers",
            reason: "some ten operations after one another, each within 1e-6 (P4)")
    }
}

extension Models64 {
    /// A whole stage of the decoder on a map `[channels, h, w]`, as `[channels, h * w]` of the result.
    static func decoderStage(_ index: Int, _ map: Tensor, _ c: AutoencoderConfiguration, _ source: any WeightSource) throws -> Matrix64 {
        var (height, width) = (map.shape[1], map.shape[2])
        var x = Matrix64(height * width, map.rows)
        for channel in 0..<map.rows { for pixel in 0..<height * width { x[pixel, channel] = Double(map.span[channel * height * width + pixel]) } }
        if index + 1 < c.decoder.stages.count {
            x = try upsampled(index, x, height: height, width: width, c, Weights64(source: source, prefix: "vae.dec.stage.\(index).up."))
            (height, width) = (2 * height, 2 * width)
        }
        x = try decoderBlocks(index, x, height: height, width: width, c, source)
        var result = Matrix64(x.columns, height * width)
        for pixel in 0..<height * width { for channel in 0..<x.columns { result[channel, pixel] = x[pixel, channel] } }
        return result
    }

    private static func upsampled(_ index: Int, _ x: Matrix64, height: Int, width: Int, _ c: AutoencoderConfiguration, _ w: Weights64) throws -> Matrix64 {
        let channels = c.decoder.stages[index].channels
        let (weight, bias) = (try w.matrix("weight"), try w.vector("bias"))
        var result = Matrix64(4 * x.rows, channels)
        /// Pixel (2 row + dy, 2 column + dx) for the pixel and corner it comes from.
        func place(_ pixel: Int, _ corner: Int) -> Int { (2 * (pixel / width) + corner / 2) * 2 * width + 2 * (pixel % width) + corner % 2 }
        if c.interpolates {
            var doubled = Matrix64(4 * x.rows, x.columns)
            for pixel in 0..<x.rows {
                for corner in 0..<4 { for channel in 0..<x.columns { doubled[place(pixel, corner), channel] = x[pixel, channel] } }
            }
            result = Formulas64.convolution(doubled, weight, bias: bias, height: 2 * height, width: 2 * width)
        } else {
            let wide = Formulas64.convolution(x, weight, bias: bias, height: height, width: width)
            for pixel in 0..<x.rows {
                for corner in 0..<4 { for channel in 0..<channels { result[place(pixel, corner), channel] = wide[pixel, 4 * channel + corner] } }
            }
        }
        // The shortcut: every input channel several times, then shuffled into pixels.
        let repeats = 4 * channels / x.columns
        for pixel in 0..<x.rows {
            for corner in 0..<4 { for channel in 0..<channels { result[place(pixel, corner), channel] += x[pixel, (4 * channel + corner) / repeats] } }
        }
        return result
    }
}
