package import Operations
package import Tensors

/// The SANA-Sprint transformer: predicts the velocity from noise to picture.
///
/// Each block is loaded when a step comes to it, unless it is among the layers that stay in memory.
/// Source: SanaTransformer2DModel in diffusers' sana_transformer.py.
package final class SanaTransformer: Sendable {
    package let configuration: TransformerConfiguration
    private let conditioning: TransformerConditioning
    private let patchEmbedding: Linear
    private let loader: WeightLoader
    private let outputTable: Tensor
    private let output: Linear

    /// Epsilon of the last norm: fixed in SanaModulatedNorm, unlike those of the blocks.
    static let outputEpsilon = 1e-6

    /// - Parameter built: layers that stay in memory; blocks among them are loaded now.
    package init(
        _ configuration: TransformerConfiguration, from source: any WeightSource, on executor: CPU, compute: Compute = .float32, built: BuiltLayers? = nil,
        probes: Probes = Probes()
    ) throws(InferenceError) {
        self.configuration = configuration
        let loader = WeightLoader(source: source, on: executor, compute: compute, built: built)
        self.loader = loader
        let c = configuration
        conditioning = try InferenceError.loading { () throws(WeightError) in try TransformerConditioning(loader, c) }
        patchEmbedding = try InferenceError.loading { () throws(WeightError) in try loader.linear("dit.patch", c.width, c.patchChannels, bias: true) }
        outputTable = try InferenceError.loading { () throws(WeightError) in try loader.tensor("dit.out.table", [2, c.width]) }
        output = try InferenceError.loading { () throws(WeightError) in try loader.linear("dit.out", c.patchChannels, c.width, bias: true) }
        for index in 0..<c.layers where built?.keeps("dit.blocks.\(SanaSprintWeights.number(index))") ?? false {
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
        let projection = try InferenceError.loading { () throws(WeightError) in try PromptProjection(loader, index, configuration) }
        return try InferenceError.wrap { () throws(AllocationError) in try projection(caption) }
    }

    private func block(_ index: Int) throws(InferenceError) -> TransformerBlock {
        try InferenceError.loading { () throws(WeightError) in try TransformerBlock(loader, index, configuration) }
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
            try probes.record("time_embed", embedding)
            try probes.record("modulation", modulation, as: [1, modulation.count])
            let x = try patchEmbedding(try Patches.unfold(latents, size: configuration.patch))
            try probes.recordTokens("patch_embed", x)
            return x
        }
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            let block = try block(index)
            try InferenceError.wrap { () throws(AllocationError) in
                try block.apply(&x, modulation: modulation, keyValues: [prompt.keyValues[index]], height: height, width: width)
                try probes.recordTokens("block.\(index)", x)
            }
        }
        return try InferenceError.wrap { () throws(AllocationError) in
            x = try finalNorm(x, embedding)
            try probes.recordTokens("norm_out", x)
            let result = try Patches.fold(
                try output(x), size: configuration.patch, channels: configuration.channels, height: latents.shape[1], width: latents.shape[2])
            try probes.record("output", result.batched)
            return result
        }
    }

    /// The last norm takes the embedding itself, not its projection.
    private func finalNorm(_ x: Tensor, _ embedding: Tensor) throws(AllocationError) -> Tensor {
        var (shift, scale) = (try outputTable.row(0), try outputTable.row(1))
        loader.executor.add(embedding, to: &shift)
        loader.executor.add(embedding, to: &scale)
        return try loader.executor.apply(ModulatedNorm(scale: scale, shift: shift, epsilon: Self.outputEpsilon), to: x)
    }
}
