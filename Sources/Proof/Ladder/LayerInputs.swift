import Conversion
import Inference
import Operations
import Parity
import Tensors

/// Inputs such as layers get in the model: noise, a time and made-up features of a prompt through the model's own first steps.
struct LayerInputs {
    let configuration: SanaSprintConfiguration
    let executor: CPU
    /// The checkpoint's weights without any fusion.
    let plain: CheckpointWeights
    let tokens: Tensor?
    let modulation: Tensor?
    let caption: Tensor?
    let hidden: Tensor?
    /// Side of the token grid and of the maps.
    static let side = 3

    init(_ configuration: SanaSprintConfiguration, _ plain: CheckpointWeights, on executor: CPU) throws {
        self.executor = executor
        self.configuration = configuration
        self.plain = plain
        var numbers = TestNumbers(seed: 2)
        let parts = ModelParts(configuration, from: plain, on: executor)
        let c = configuration.transformer
        if plain.has(.transformer) {
            tokens = try parts.patchEmbedding(try numbers.tensor([c.channels, Self.side * c.patch, Self.side * c.patch]))
            modulation = try parts.modulation(try parts.timeEmbedding(time: 0.7, guidance: 4.5 * c.guidanceScale))
            caption = try parts.caption(try numbers.tensor([7, c.captionChannels]))
        } else {
            (tokens, modulation, caption) = (nil, nil, nil)
        }
        if let text = configuration.text, plain.has(.textEncoder) {
            hidden = try parts.embeddings((0..<11).map { Int32($0 * 31 % text.vocabulary) })
        } else {
            hidden = nil
        }
    }

    /// Indices of layers to look at: all of a few, else the first, the middle one and the last.
    static func chosen(_ count: Int) -> [Int] { count <= 6 ? Array(0..<count) : [0, count / 2, count - 1] }

    /// Calls `body` with each layer's name and what computes it with some weights.
    func forEach(_ body: (_ name: String, _ run: (ModelParts<CPU>) throws -> Tensor) throws -> Void) throws {
        if let tokens, let modulation, let caption {
            for index in Self.chosen(configuration.transformer.layers) {
                try body("dit.blocks.\(index)") {
                    try $0.block(index, tokens, modulation: modulation, caption: caption, height: Self.side, width: Self.side)
                }
            }
        }
        if let hidden, let text = configuration.text {
            for index in Self.chosen(text.layers) { try body("text.layers.\(index)") { try $0.textLayer(index, hidden) } }
        }
        for (index, map) in try maps() { try body("vae.dec.stage.\(index)") { try $0.decoderStage(index, map) } }
    }

    /// The input `[channels, side, side]` of the autoencoder's deepest stage, and of the deepest one with residual blocks.
    func maps() throws -> [(index: Int, map: Tensor)] {
        guard let vae = configuration.vae, plain.has(.vaeDecoder) else { return [] }
        let stages = vae.decoder.stages
        var numbers = TestNumbers(seed: 3)
        let residual = stages.indices.last { stages[$0].kind == .residual && stages[$0].blocks > 0 }
        var result: [(Int, Tensor)] = []
        for index in Set([stages.count - 1] + (residual.map { [$0] } ?? [])).sorted(by: >) {
            let channels = stages[min(index + 1, stages.count - 1)].channels
            result.append((index, try numbers.tensor([channels, Self.side, Self.side])))
        }
        return result
    }
}
