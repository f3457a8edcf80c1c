package import Operations
import ProbePoints
package import Tensors

/// The SANA-Sprint transformer: predicts the velocity from noise to picture.
///
/// Each block is loaded when a step comes to it, unless it is among the layers that stay in memory.
/// Source: SanaTransformer2DModel in diffusers' sana_transformer.py.
package final class SanaTransformer: Sendable {
    package let configuration: TransformerConfiguration
    private let conditioning: TransformerConditioning
    private let patchEmbedding: PatchEmbedding
    private let loader: WeightLoader
    private let output: OutputProjection
    private let rows: TransformerRows

    /// - Parameter built: layers that stay in memory; blocks among them are loaded now.
    package init(
        _ configuration: TransformerConfiguration, from source: any WeightSource, on executor: CPU, compute: Compute = .float32, built: BuiltLayers? = nil,
        probes: Probes = Probes()
    ) throws(InferenceError) {
        self.configuration = configuration
        let loader = WeightLoader(source: source, on: executor, compute: compute, built: built)
        self.loader = loader
        let (c, rows) = (configuration, TransformerRows(configuration, source.fusions, source.frozenSchedule))
        self.rows = rows
        conditioning = try InferenceError.loading { () throws(WeightError) in try TransformerConditioning(loader, rows, c) }
        patchEmbedding = try InferenceError.loading { () throws(WeightError) in try PatchEmbedding(loader, rows, c) }
        output = try InferenceError.loading { () throws(WeightError) in try OutputProjection(loader, rows, c) }
        for index in 0..<c.layers where built?.keeps(SanaSprintWeights.block(index)) ?? false {
            try probes.checkCancelled()
            _ = try block(index)
        }
    }

    /// What the blocks need of a prompt; computed once, used in every step.
    package struct Prompt: Sendable {
        /// Projected features of the kept tokens, `[tokens, width]`.
        let caption: Tensor
        let keyValues: [PackedKeyValues]
    }

    /// - Parameter features: of the prompt's tokens, without padding, `[tokens, captionChannels]`.
    package func prompt(_ features: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Prompt {
        let caption = try InferenceError.wrap { () throws(AllocationError) in try conditioning.caption(features) }
        var keyValues: [PackedKeyValues] = []
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            keyValues.append(try self.keyValues(index, of: caption))
        }
        return Prompt(caption: caption, keyValues: keyValues)
    }

    private func keyValues(_ index: Int, of caption: Tensor) throws(InferenceError) -> PackedKeyValues {
        // Not kept: what they compute of a prompt is.
        let loader = WeightLoader(source: loader.source, on: loader.executor, compute: loader.compute)
        let projection = try InferenceError.loading { () throws(WeightError) in try PromptProjection(loader, rows.blocks[index], configuration) }
        return try InferenceError.wrap { () throws(AllocationError) in try projection(caption) }
    }

    private func block(_ index: Int) throws(InferenceError) -> TransformerBlock {
        try InferenceError.loading { () throws(WeightError) in try TransformerBlock(loader, rows.blocks[index], configuration) }
    }

    /// The velocity at `latents` [c, h, w] and flow time `time` in [0, 1], as `[c, h, w]`.
    ///
    /// - Parameter guidance: the guidance scale as the user states it; the model's own factor is applied here.
    package func velocity(
        _ latents: Tensor, time: Double, guidance: Double, prompt: Prompt, probes: Probes = Probes()
    ) throws(InferenceError) -> Tensor {
        let (embedding, modulation) = try conditioning.embed(time: time, guidance: guidance)
        let (height, width) = (latents.shape[1] / configuration.patch, latents.shape[2] / configuration.patch)
        var x = try InferenceError.wrap { () throws(AllocationError) in
            try probes.record(Probe(.timeEmbedding), embedding)
            try probes.record(Probe(.modulation), modulation, as: [1, modulation.count])
            let x = try patchEmbedding(latents)
            try probes.recordTokens(Probe(.patches), x)
            return x
        }
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            let block = try block(index)
            try InferenceError.wrap { () throws(AllocationError) in
                try block.apply(&x, modulation: modulation, keyValues: [prompt.keyValues[index]], height: height, width: width)
                try probes.recordTokens(Probe(.block, index), x)
            }
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            x = try output.norm(x, embedding)
            try probes.recordTokens(Probe(.outputNorm), x)
            let result = try output(x, height: latents.shape[1], width: latents.shape[2])
            try probes.record(Probe(.output), result.batched)
            return result
        }
    }
}

/// Latents as tokens.
struct PatchEmbedding: Sendable {
    private let projection: Linear
    private let patch: Int

    init(_ loader: WeightLoader, _ rows: TransformerRows, _ c: TransformerConfiguration) throws(WeightError) {
        (projection, patch) = (try loader.linear(rows.patch), c.patch)
    }

    /// `[channels, h, w]` to `[tokens, width]`.
    func callAsFunction(_ latents: Tensor) throws(AllocationError) -> Tensor { try projection(try Patches.unfold(latents, size: patch)) }
}

/// Tokens as a velocity, after a norm that takes the embedding of time and guidance itself, not its projection.
struct OutputProjection: Sendable {
    private let executor: CPU
    private let configuration: TransformerConfiguration
    private let table: Tensor
    private let projection: Linear

    /// Epsilon of the norm: fixed in SanaModulatedNorm, unlike those of the blocks.
    private static let epsilon = 1e-6

    init(_ loader: WeightLoader, _ rows: TransformerRows, _ c: TransformerConfiguration) throws(WeightError) {
        (executor, configuration) = (loader.executor, c)
        (table, projection) = (try loader.tensor(rows.outputTable), try loader.linear(rows.output))
    }

    /// - Parameter embedding: `[1, width]`.
    func norm(_ x: Tensor, _ embedding: Tensor) throws(AllocationError) -> Tensor {
        var (shift, scale) = (try table.row(0), try table.row(1))
        executor.add(embedding, to: &shift)
        executor.add(embedding, to: &scale)
        return try executor.apply(ModulatedNorm(scale: scale, shift: shift, epsilon: Self.epsilon), to: x)
    }

    /// The velocity `[channels, height, width]` of normed tokens.
    func callAsFunction(_ x: Tensor, height: Int, width: Int) throws(AllocationError) -> Tensor {
        try Patches.fold(try projection(x), size: configuration.patch, channels: configuration.channels, height: height, width: width)
    }
}
