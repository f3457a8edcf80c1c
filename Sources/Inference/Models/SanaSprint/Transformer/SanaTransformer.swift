package import Operations
import ProbePoints
package import Tensors

/// The SANA transformer: predicts the velocity from noise to picture.
///
/// Each block is loaded when a step comes to it, unless it is among the layers that stay in memory.
/// Source: SanaTransformer2DModel in diffusers' sana_transformer.py.
package final class SanaTransformer<E: Executor>: Sendable {
    let configuration: TransformerConfiguration
    private let conditioning: TransformerConditioning<E>
    private let patchEmbedding: PatchEmbedding<E>
    private let loader: WeightLoader<E>
    private let output: OutputProjection<E>
    private let rows: TransformerRows
    /// Nil where nothing but the prompt says what to draw.
    private let control: ControlNetwork<E>?
    /// The place of steps as the executor does them again; nil where a layer of theirs is loaded anew for each.
    private let repeated: RepeatedWork?

    /// - Parameters:
    ///   - control: of a control network that may have a say.
    ///   - built: layers that stay in memory; blocks among them are loaded now.
    init(
        _ configuration: TransformerConfiguration, control: ControlConfiguration? = nil, from source: any WeightSource, on executor: E,
        compute: Compute = .float32, built: BuiltLayers? = nil, probes: Probes = Probes()
    ) throws(InferenceError) {
        self.configuration = configuration
        let loader = WeightLoader(source: source, on: executor, compute: compute, built: built)
        self.loader = loader
        let (c, rows) = (configuration, TransformerRows(configuration, source.fusions, source.frozenSchedule))
        self.rows = rows
        conditioning = try TransformerConditioning(loader, rows.conditioning, c)
        patchEmbedding = try PatchEmbedding(loader, rows.patch, c)
        output = try OutputProjection(loader, rows, c)
        self.control = try control.map { control throws(InferenceError) in try ControlNetwork(control, loader) }
        let read = source.summaries.filter { $0.isOfSteps(controlled: control != nil) }
        repeated = built?.repeatedWork(control == nil ? "steps" : "controlled steps", reading: read.map(\.name))
        for index in 0..<c.layers where built?.keeps(SanaSprintWeights.block(index)) ?? false {
            try probes.checkCancelled()
            _ = try block(index)
        }
    }

    /// What the blocks need of a prompt; computed once, used in every step.
    package struct Prompt: Sendable {
        /// Projected features of the kept tokens, `[tokens, width]`.
        let caption: E.Rows
        let keyValues: [E.KeyValues]
        /// The same in the blocks of a control network.
        let control: ControlNetwork<E>.Prompt?

        /// Bytes of a prompt of so many tokens.
        /// - Parameter control: of a control network that is told it too.
        static func byteCount(_ c: TransformerConfiguration, control: ControlConfiguration? = nil, tokens: Int, on executor: E) -> Int {
            let keyValues = [c, control?.branch].compactMap { $0 }.reduce(0) { sum, c in
                sum + c.layers * executor.footprint(of: .keyValues(tokens: tokens, heads: c.crossHeads, headDimension: c.crossHeadDimension)).kept
            }
            return keyValues + executor.byteCount(of: tokens * c.width)
        }
    }

    /// Sampling latents `[c, h, w]` with so many prompts of so many tokens: the networks around the blocks with all of these or the largest one loaded; the
    /// prompt with its features, while it is made or the tokens pass through the blocks and the last norm and projection.
    /// - Parameters:
    ///   - repeats: whether steps are done again with layers that all stay.
    ///   - control: of a control network that has a say, whose fusions are `fusions`.
    static func footprint(
        _ rows: TransformerRows, _ c: TransformerConfiguration, _ sizes: WeightSizes<E>, latents: Shape, tokens: Int, prompts: Int = 1, keepsBlocks: Bool,
        repeats: Bool = false,
        control: ControlConfiguration? = nil, fusions: Fusions = [], _ held: (WeightSummary) -> Bool
    ) -> Footprint {
        let around = sizes.loading("dit.", { !$0.name.hasPrefix("dit.blocks.") }, held: held)
        func block(_ index: Int, ofPrompt: Bool) -> Footprint {
            sizes.loading(SanaSprintWeights.block(index) + ".", { $0.isOfPrompt == ofPrompt }, held: held)
        }
        let blocks = rows.blocks.indices.map { block($0, ofPrompt: false) }
        let passing = max(around.passing, rows.blocks.indices.map { block($0, ofPrompt: true).peak }.max() ?? 0)
        let kept = keepsBlocks ? blocks.reduce(0) { $0 + $1.kept } : 0
        let loading = max(passing, blocks.map { keepsBlocks ? $0.passing : $0.peak }.max() ?? 0)

        let count = latents[1] * latents[2] / (c.patch * c.patch)
        let stream = sizes.executor.byteCount(of: count * c.width)
        let working = rows.blocks.map { TransformerBlock.workingBytes($0, sizes, count: count, tokens: tokens, c) }.max() ?? 0
        let output = stream + sizes.product(count, [rows.output]).peak
        let branch = control.map { ControlNetwork.footprint($0, sizes, fusions, count: count, tokens: tokens, keepsBlocks: keepsBlocks, held) }
        // Of a block that is let go, while the next one is loaded.
        let lingering = sizes.executor.lingering(
            max(
                keepsBlocks ? 0 : blocks.map(\.kept).max() ?? 0, rows.blocks.indices.map { block($0, ofPrompt: true).kept }.max() ?? 0,
                branch?.lingering ?? 0))
        let made = rows.blocks.map { PromptProjection.footprint($0, sizes, tokens: tokens, c).passing }.max() ?? 0
        let caption = sizes.executor.byteCount(of: tokens * (c.captionChannels + 2 * c.width))
        let branchHeld = branch?.held ?? Footprint()
        let again = repeats ? sizes.executor.footprint(of: repeatedWork(c, control, latents: latents, tokens: tokens)).kept : 0
        return Footprint(
            kept: around.kept + kept + branchHeld.kept + max(loading, branch?.loading ?? 0),
            passing: prompts * Prompt.byteCount(c, control: control, tokens: tokens, on: sizes.executor) + caption + branchHeld.passing + again
                + max(made, lingering, stream + max(working, output, lingering), branch?.working ?? 0))
    }

    /// A step as `again` does it, at most: what is told of time, patches and positions, keys and values, and the same of a control network.
    private static func repeatedWork(_ c: TransformerConfiguration, _ control: ControlConfiguration?, latents: Shape, tokens: Int) -> Work {
        let count = latents[1] * latents[2] / (c.patch * c.patch)
        let keyValues = [c, control?.branch].compactMap { $0 }.flatMap { c in
            [Int](repeating: tokens * 2 * c.crossHeads * c.crossHeadDimension, count: c.layers)
        }
        let told = [max(c.width, TimeEmbeddingRows.sinusoidChannels), 6 * c.width, count * c.patchChannels, count * c.width]
        return .again(
            inputs: keyValues + told + (control == nil ? [] : told + [count * c.width, c.width]), result: count * c.patchChannels)
    }

    /// - Parameter features: of the prompt's tokens, without padding, `[tokens, captionChannels]`.
    package func prompt(_ features: Tensor, probes: Probes = Probes()) throws(InferenceError) -> Prompt {
        let caption = try allocating(try conditioning.caption(features))
        var keyValues: [E.KeyValues] = []
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            keyValues.append(try self.keyValues(index, of: caption))
        }
        let controlled = try control.map { control throws(InferenceError) in
            try control.prompt(features, caption) { () throws(InferenceError) in try probes.checkCancelled() }
        }
        return Prompt(caption: caption, keyValues: keyValues, control: controlled)
    }

    /// What a picture asks a control network for; computed once, used in every step.
    package struct Hint: Sendable {
        fileprivate let hint: ControlNetwork<E>.Hint
    }

    /// - Parameters:
    ///   - latents: of the picture, `[c, h, w]`, as the autoencoder gives them times its factor.
    ///   - scale: what is multiplied with all that the network adds.
    package func hint(_ latents: Tensor, scale: Double, probes: Probes = Probes()) throws(InferenceError) -> Hint {
        guard let control else { throw .missingComponent(.controlnet, needed: "follow a picture") }
        return try allocating { () throws(MachineError) in
            let hint = try control.hint(latents, scale: scale, patchEmbedding)
            try probes.recordTokens(Probe(.controlInput), try executor.tensor(from: hint.tokens))
            return Hint(hint: hint)
        }
    }

    var executor: E { loader.executor }

    private func keyValues(_ index: Int, of caption: E.Rows) throws(InferenceError) -> E.KeyValues {
        // Not kept: what they compute of a prompt is.
        let loader = WeightLoader(source: loader.source, on: loader.executor, compute: loader.compute)
        let projection = try PromptProjection(loader, rows.blocks[index], configuration)
        return try allocating(try projection(caption))
    }

    private func block(_ index: Int) throws(InferenceError) -> TransformerBlock<E> {
        try TransformerBlock(loader, rows.blocks[index], configuration)
    }

    /// The velocity at `latents` [c, h, w] and flow time `time` in [0, 1], as `[c, h, w]`.
    ///
    /// - Parameters:
    ///   - guidance: the guidance scale as the user states it; the model's own factor is applied here.
    ///   - hint: of a picture that is followed; the prompt is then of this transformer with its control network.
    package func velocity(
        _ latents: Tensor, time: Double, guidance: Double, prompt: Prompt, hint: Hint? = nil, probes: Probes = Probes()
    ) throws(InferenceError) -> Tensor {
        let inputs = try self.inputs(latents, time, guidance, prompt, hint?.hint)
        func tokens(_ inputs: RepeatedInputs<E>) throws(InferenceError) -> E.Rows {
            try self.tokens(inputs, hint?.hint, height: latents.shape[1] / configuration.patch, width: latents.shape[2] / configuration.patch, probes)
        }
        let result: E.Rows =
            if let repeated, probes.isSilent {
                try executor.again(repeated, [latents.shape[1], latents.shape[2]], inputs, tokens)
            } else { try tokens(inputs) }
        return try allocating { () throws(MachineError) in
            let velocity = try output.folded(result, height: latents.shape[1], width: latents.shape[2])
            try probes.record(Probe(.output), velocity.batched)
            return velocity
        }
    }

    /// All that a step is made of beside layers.
    private func inputs(
        _ latents: Tensor, _ time: Double, _ guidance: Double, _ prompt: Prompt, _ hint: ControlNetwork<E>.Hint?
    ) throws(InferenceError) -> RepeatedInputs<E> {
        let told = try conditioning.told(time: time, guidance: guidance)
        let patches = try allocating(try patchEmbedding.inputs(latents))
        guard let hint else { return RepeatedInputs(rows: [told, patches], keyValues: [prompt.keyValues]) }
        guard let control, let own = prompt.control else { preconditionFailure("a hint without its control network") }
        let branch = try control.inputs(latents, time: time, guidance: guidance)
        return RepeatedInputs(rows: [told, patches, [hint.tokens, hint.scale], branch.told, branch.patches], keyValues: [prompt.keyValues, own.keyValues])
    }

    /// The velocity's patches, `[tokens, outputs]`.
    private func tokens(
        _ inputs: RepeatedInputs<E>, _ hint: ControlNetwork<E>.Hint?, height: Int, width: Int, _ probes: Probes
    ) throws(InferenceError) -> E.Rows {
        let (embedding, modulation) = try allocating(try conditioning.embed(inputs.rows[0]))
        var x = try allocating { () throws(MachineError) in
            try probes.record(Probe(.timeEmbedding), try executor.tensor(from: embedding), as: [1, configuration.width])
            try probes.record(Probe(.modulation), try executor.tensor(from: modulation), as: [1, 6 * configuration.width])
            let x = try patchEmbedding(inputs.rows[1])
            try probes.recordTokens(Probe(.patches), try executor.tensor(from: x))
            return x
        }
        var branch = try hint.map { hint throws(InferenceError) in try Branch(control, inputs, factor: hint.factor, modulation, x) }
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            try branch?.join(&x, before: index, height: height, width: width, probes)
            try apply(index, to: &x, modulation, inputs.keyValues[0][index], height: height, width: width)
            try allocating(try probes.recordTokens(Probe(.block, index), try executor.tensor(from: x)))
            try branch?.join(&x, after: index, height: height, width: width, probes)
        }
        return try allocating { () throws(MachineError) in
            x = try output.norm(x, embedding)
            try probes.recordTokens(Probe(.outputNorm), try executor.tensor(from: x))
            return try output.projected(x)
        }
    }
}

extension SanaTransformer {
    /// Runs a block, which is let go before one of a control network is loaded.
    private func apply(_ index: Int, to x: inout E.Rows, _ modulation: E.Rows, _ keyValues: E.KeyValues, height: Int, width: Int) throws(InferenceError) {
        let block = try block(index)
        try allocating(try block.apply(&x, modulation: modulation, keyValues: [keyValues], height: height, width: width))
    }

    /// A control network on its way through a step, joined to the base's blocks where its wiring says.
    private struct Branch {
        let network: ControlNetwork<E>
        let prompt: ControlNetwork<E>.Prompt
        let patches: [E.Rows]
        var run: ControlNetwork<E>.Run

        /// - Parameters:
        ///   - inputs: of the transformer.
        ///   - factor: of the hint.
        ///   - x: the patches.
        init(_ network: ControlNetwork<E>?, _ inputs: RepeatedInputs<E>, factor: Double, _ modulation: E.Rows, _ x: E.Rows) throws(InferenceError) {
            guard let network else { preconditionFailure("a hint without its control network") }
            (self.network, prompt, patches) = (network, ControlNetwork<E>.Prompt(keyValues: inputs.keyValues[1]), inputs.rows[4])
            let hint = ControlNetwork<E>.Hint(tokens: inputs.rows[2][0], scale: inputs.rows[2][1], factor: factor)
            var run = try allocating(try network.run(hint, inputs.rows[3], modulation))
            if network.configuration.wiring == .diffusers { try allocating(try network.start(&run, inputs.rows[4], tokens: x)) }
            self.run = run
        }

        mutating func join(_ x: inout E.Rows, before index: Int, height: Int, width: Int, _ probes: Probes) throws(InferenceError) {
            guard network.configuration.wiring == .nvlabs else { return }
            if index == 1 { try allocating(try network.start(&run, patches, tokens: x)) }
            try advance(&x, index - 1, height, width, probes)
        }

        mutating func join(_ x: inout E.Rows, after index: Int, height: Int, width: Int, _ probes: Probes) throws(InferenceError) {
            guard network.configuration.wiring == .diffusers else { return }
            try advance(&x, index - 1, height, width, probes)
        }

        private mutating func advance(_ x: inout E.Rows, _ index: Int, _ height: Int, _ width: Int, _ probes: Probes) throws(InferenceError) {
            guard (0..<network.configuration.branch.layers).contains(index) else { return }
            let executor = network.executor
            try network.advance(&run, index, to: &x, prompt, height: height, width: width) { tokens, residual throws(MachineError) in
                try probes.recordTokens(Probe(.controlBlock, index), try executor.tensor(from: tokens))
                try probes.recordTokens(Probe(.controlResidual, index), try residual())
            }
        }
    }
}

/// Latents as tokens.
struct PatchEmbedding<E: Executor>: Sendable {
    private let executor: E
    private let projection: E.Linear
    private let patch: Int
    private let positions: PositionTable?

    init(_ loader: WeightLoader<E>, _ rows: Parameters, _ c: TransformerConfiguration) throws(InferenceError) {
        (executor, projection, patch, positions) = (loader.executor, try loader.linear(rows), c.patch, PositionTable(c))
    }

    /// `[channels, h, w]` to `[tokens, width]`.
    func callAsFunction(_ latents: Tensor) throws(MachineError) -> E.Rows { try self(try inputs(latents)) }

    /// Patches, and where there are some their positions.
    func inputs(_ latents: Tensor) throws(MachineError) -> [E.Rows] {
        let patches = try executor.rows(from: try Patches.unfold(latents, size: patch))
        guard let positions else { return [patches] }
        return [patches, try executor.rows(from: try positions.rows(height: latents.shape[1] / patch, width: latents.shape[2] / patch))]
    }

    func callAsFunction(_ inputs: [E.Rows]) throws(MachineError) -> E.Rows {
        let tokens = try executor.multiply(inputs[0], by: projection)
        return inputs.count > 1 ? try executor.sum(tokens, inputs[1]) : tokens
    }
}

/// Tokens as a velocity, after a norm that takes the embedding of time and guidance itself, not its projection.
struct OutputProjection<E: Executor>: Sendable {
    private let executor: E
    private let configuration: TransformerConfiguration
    private let table: E.Rows
    private let projection: E.Linear

    /// Epsilon of the norm: fixed in SanaModulatedNorm, unlike those of the blocks.
    private static var epsilon: Double { 1e-6 }

    init(_ loader: WeightLoader<E>, _ rows: TransformerRows, _ c: TransformerConfiguration) throws(InferenceError) {
        (executor, configuration) = (loader.executor, c)
        (table, projection) = (try loader.rows(rows.outputTable), try loader.linear(rows.output))
    }

    /// - Parameter embedding: of time and guidance, `width` values.
    func norm(_ x: E.Rows, _ embedding: E.Rows) throws(MachineError) -> E.Rows {
        let shift = try executor.sum(try executor.row(0, of: table), embedding)
        let scale = try executor.sum(try executor.row(1, of: table), embedding)
        return try executor.normed(x, by: ModulatedNorm(scale: scale, shift: shift, epsilon: Self.epsilon))
    }

    /// The velocity `[channels, height, width]` of normed tokens.
    func callAsFunction(_ x: E.Rows, height: Int, width: Int) throws(MachineError) -> Tensor {
        try folded(try projected(x), height: height, width: width)
    }

    /// Its patches `[tokens, outputs]`.
    func projected(_ x: E.Rows) throws(MachineError) -> E.Rows { try executor.multiply(x, by: projection) }

    func folded(_ patches: E.Rows, height: Int, width: Int) throws(MachineError) -> Tensor {
        let tokens = try executor.tensor(from: patches)
        return try Patches.fold(tokens, size: configuration.patch, channels: configuration.channels, height: height, width: width)
    }
}
