import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// P5, on another executor: one whole layer of each kind at the model's own size, against the CPU on the same inputs.
struct DeviceLayers<E: Executor> {
    private(set) var results: [ProbeResult] = []
    private let size: OwnSize
    private let cpu: SanaSprintPipeline<CPU>
    private let device: SanaSprintPipeline<E>
    private var numbers = TestNumbers(seed: 6)

    private enum Layer: CustomStringConvertible {
        case text
        case block
        case controlBlock
        case stage(Int)

        var description: String {
            switch self {
            case .text: String(SanaSprintWeights.textLayer(0).dropLast())
            case .block: SanaSprintWeights.block(0)
            case .controlBlock: SanaSprintWeights.controlBlock(0)
            case .stage(let index): "vae.dec.stage.\(index)"
            }
        }
    }

    /// Tokens of a prompt that the transformer attends to.
    private static var captionTokens: Int { 20 }
    /// Rows of a map that a stage of the decoder is given: a band of the picture, where chains of rows begin and end.
    private static var band: Int { 4 }
    /// How many times a layer runs again on the CPU with noise.
    private static var draws: Int { 4 }

    init(_ weights: PackedWeights, _ size: OwnSize, on executor: E, against cpu: CPU, progress: (String) -> Void) throws {
        self.size = size
        (self.cpu, device) = (try SanaSprintPipeline(weights: weights, on: cpu), try SanaSprintPipeline(weights: weights, on: executor))
        let c = self.cpu.configuration
        if let text = c.text, self.cpu.has(.textEncoder) { try judge(.text, [size.words, text.width], progress) }
        if self.cpu.has(.transformer) {
            try judge(.block, [size.tokens, c.transformer.width], progress)
            if self.cpu.has(.controlnet) { try judge(.controlBlock, [size.tokens, c.transformer.width], progress) }
        }
        guard let vae = c.vae, self.cpu.has(.vaeDecoder) else { return }
        let stages = vae.decoder.stages
        for index in stages.indices.reversed() where stages[index].blocks > 0 {
            // A stage begins with doubling the map of the one below.
            let below = min(index + 1, stages.count - 1)
            try judge(.stage(index), [stages[below].channels, Self.band, max(1, size.pixels >> below)], progress)
        }
    }

    func rung(_ name: String) -> Rung? {
        guard !results.isEmpty else { return nil }
        let closest = results.min { ($0.margin ?? .infinity) < ($1.margin ?? .infinity) }
        return Rung(
            id: "P5", claim: "whole layers at the model's own size compute on \(name) what they compute on the CPU",
            measure:
                "\(results.count { $0.passed }) of \(results.count) layers; closest to its gate: \(closest?.name ?? ""), \(closest?.metrics.distance ?? "")",
            gate: "each layer's own", margin: closest?.margin.map { "\(Decimal.short($0))x" } ?? "exact", passed: results.allSatisfy(\.passed),
            reason: Self.reason)
    }

    private static var reason: String {
        "float32 sums in another order, 1e-5; where inputs become integers, four times what noise of 2e-6 on the input changes on the CPU"
    }

    private mutating func judge(_ layer: Layer, _ shape: Shape, _ progress: (String) -> Void) throws {
        progress("\(layer) at the model's own size")
        let width = cpu.configuration.transformer.width
        let (modulation, caption) = (try numbers.tensor([6, width]), try numbers.tensor([Self.captionTokens, width]))
        let x = try numbers.tensor(shape)
        var inputs = [x]
        for _ in 0..<Self.draws { inputs.append(try Repetition.noisy(x, &numbers)) }
        let expected = try outputs(of: layer, inputs, modulation, caption, by: cpu)
        let found = try outputs(of: layer, [x], modulation, caption, by: device)[0]
        let gate = Gate(.relativeL2(Repetition.limit(expected)), reason: Self.reason)
        results.append(ProbeResult("\(layer)", reference: EncodedTensor(expected[0]), other: EncodedTensor(found), gate: gate))
    }

    private func outputs<X>(
        of layer: Layer, _ inputs: [Tensor], _ modulation: Tensor, _ caption: Tensor, by pipeline: SanaSprintPipeline<X>
    ) throws -> [Tensor] {
        let side = pipeline.configuration.transformer.sampleSize / pipeline.configuration.transformer.patch
        func run(_ block: ModelParts<X>.ResidentBlock) throws -> [Tensor] {
            try block(inputs, modulation: modulation, caption: caption, height: side, width: side)
        }
        return switch layer {
        case .text: try pipeline.textEncoder().layer(0, inputs)
        case .block: try run(try pipeline.parts.residentBlock(0))
        case .controlBlock: try run(try pipeline.parts.residentControlBlock(0).block)
        case .stage(let index): try pipeline.parts.decoderStage(index, inputs)
        }
    }
}
