import Operations
import Tensors

/// A control network: a branch of blocks beside the transformer's first ones, which adds to the tokens what a picture asks for.
///
/// Source: SanaControlNetModel in diffusers' controlnet_sana.py, and in the other wiring SanaMSControlNet of NVlabs' sana_multi_scale_controlnet.py.
struct ControlNetwork<E: Executor>: Sendable {
    let configuration: ControlConfiguration
    private let loader: WeightLoader<E>
    private let rows: ControlRows
    /// Nil where the base's serve.
    let patchEmbedding: PatchEmbedding<E>?
    let conditioning: TransformerConditioning<E>?
    private let input: E.Linear

    init(_ configuration: ControlConfiguration, _ loader: WeightLoader<E>) throws(InferenceError) {
        (self.configuration, self.loader) = (configuration, loader)
        rows = ControlRows(configuration, loader.source.fusions)
        patchEmbedding = try rows.patch.map { (patch) throws(InferenceError) in try PatchEmbedding(loader, patch, configuration.branch) }
        conditioning = try rows.conditioning.map { (rows) throws(InferenceError) in try TransformerConditioning(loader, rows, configuration.branch) }
        input = try loader.linear(rows.input)
    }

    var executor: E { loader.executor }

    /// What a picture asks for, computed once.
    struct Hint: Sendable {
        /// Of the picture's latents, embedded: added to where the branch sets out from, `[tokens, width]`.
        let tokens: E.Rows
        /// `[width]`, what residuals are multiplied by.
        let scale: E.Rows
        let factor: Double
    }

    /// The prompt as the branch is told it.
    struct Prompt: Sendable {
        let keyValues: [E.KeyValues]
    }

    /// The branch in one step.
    struct Run {
        fileprivate let hint: Hint
        fileprivate let modulation: E.Rows
        fileprivate var tokens: E.Rows?
    }

    /// - Parameter base: embeds the latents `[channels, h, w]` where the branch does not.
    func hint(_ latents: Tensor, scale: Double, _ base: PatchEmbedding<E>) throws(MachineError) -> Hint {
        let tokens = try executor.multiply(try (patchEmbedding ?? base)(latents), by: input)
        let factors = [Float](repeating: Float(scale), count: configuration.branch.width)
        return Hint(tokens: tokens, scale: try executor.rows(from: try Tensor([factors.count], factors)), factor: scale)
    }

    /// - Parameter base: the prompt at the base's width, for where the branch does not project the features itself.
    func prompt(_ features: Tensor, _ base: E.Rows, _ checkCancelled: () throws(InferenceError) -> Void) throws(InferenceError) -> Prompt {
        let caption = if let conditioning { try allocating(try conditioning.caption(features)) } else { base }
        var keyValues: [E.KeyValues] = []
        for index in rows.blocks.indices {
            try checkCancelled()
            // Not kept: what they compute of a prompt is.
            let loader = WeightLoader(source: loader.source, on: executor, compute: loader.compute)
            let projection = try PromptProjection(loader, rows.blocks[index], configuration.branch)
            keyValues.append(try allocating(try projection(caption)))
        }
        return Prompt(keyValues: keyValues)
    }

    /// What the branch embeds itself of a step; nothing where the base does it.
    func inputs(_ latents: Tensor, time: Double, guidance: Double) throws(InferenceError) -> (told: [E.Rows], patches: [E.Rows]) {
        let told = try conditioning?.told(time: time, guidance: guidance) ?? []
        guard configuration.wiring == .diffusers, let patchEmbedding else { return (told, []) }
        return (told, try allocating(try patchEmbedding.inputs(latents)))
    }

    /// - Parameters:
    ///   - told: of `inputs`.
    ///   - modulation: the base's, for where the branch does not embed time and guidance itself.
    func run(_ hint: Hint, _ told: [E.Rows], _ modulation: E.Rows) throws(MachineError) -> Run {
        Run(hint: hint, modulation: try conditioning?.embed(told).modulation ?? modulation, tokens: nil)
    }

    /// Sets out: in diffusers' wiring from the patches, before the base's first block; in NVlabs' from the tokens that it gives.
    /// - Parameters:
    ///   - patches: of `inputs`.
    ///   - tokens: the base's, before its first block or after it.
    func start(_ run: inout Run, _ patches: [E.Rows], tokens: E.Rows) throws(MachineError) {
        let start = if !patches.isEmpty, let patchEmbedding { try patchEmbedding(patches) } else { tokens }
        run.tokens = try executor.sum(start, run.hint.tokens)
    }

    /// Runs block `index` of the branch, and adds its residual to the base's tokens `x`.
    /// - Parameter record: is given the branch's tokens, and what was added.
    func advance(
        _ run: inout Run, _ index: Int, to x: inout E.Rows, _ prompt: Prompt, height: Int, width: Int,
        record: (_ tokens: E.Rows, _ residual: () throws(MachineError) -> Tensor) throws(MachineError) -> Void
    ) throws(InferenceError) {
        let block = try TransformerBlock(loader, rows.blocks[index], configuration.branch)
        let projection = try loader.linear(rows.residuals[index])
        try allocating { () throws(MachineError) in
            // Nobody else may hold what is updated in place.
            guard var tokens = run.tokens.take() else { preconditionFailure("a branch that has not set out") }
            try block.apply(&tokens, modulation: run.modulation, keyValues: [prompt.keyValues[index]], height: height, width: width)
            run.tokens = tokens
            try record(tokens) { () throws(MachineError) in
                try executor.tensor(from: try executor.multiply(tokens, by: projection)).scaled(by: run.hint.factor)
            }
            try executor.add(tokens, by: projection, to: &x, gate: run.hint.scale)
        }
    }

    // MARK: - Memory

    /// What the branch adds to what its base takes: what it holds, and what a block of it takes to be loaded, when it is let go, and to work while none of the base's does.
    static func footprint(
        _ control: ControlConfiguration, _ sizes: WeightSizes<E>, _ fusions: Fusions, count: Int, tokens: Int, keepsBlocks: Bool,
        _ held: (WeightSummary) -> Bool
    ) -> (held: Footprint, loading: Int, lingering: Int, working: Int) {
        let (rows, c) = (ControlRows(control, fusions), control.branch)
        let around = sizes.loading("control.", { !$0.name.hasPrefix("control.blocks.") }, held: held)
        let blocks = rows.blocks.indices.map { sizes.loading(SanaSprintWeights.controlBlock($0) + ".", { !$0.isOfPrompt }, held: held) }
        let ofPrompt = rows.blocks.indices.map { sizes.loading(SanaSprintWeights.controlBlock($0) + ".", { $0.isOfPrompt }, held: held).peak }.max() ?? 0
        let block = blocks.map { keepsBlocks ? $0.passing : $0.peak }.max() ?? 0
        let made = rows.blocks.map { PromptProjection.footprint($0, sizes, tokens: tokens, c).passing }.max() ?? 0
        let caption = rows.conditioning == nil ? 0 : sizes.executor.byteCount(of: 2 * tokens * c.width)
        let working = rows.blocks.map { TransformerBlock.workingBytes($0, sizes, count: count, tokens: tokens, c) }.max() ?? 0
        let added = rows.residuals.map { sizes.added(count, $0).peak }.max() ?? 0
        let stream = sizes.executor.byteCount(of: count * c.width)
        return (
            held: Footprint(kept: around.kept + (keepsBlocks ? blocks.reduce(0) { $0 + $1.kept } : 0), passing: 2 * stream),
            loading: max(around.passing, block, ofPrompt), lingering: keepsBlocks ? 0 : blocks.map(\.kept).max() ?? 0,
            working: max(caption + made, stream + max(working, added))
        )
    }
}
