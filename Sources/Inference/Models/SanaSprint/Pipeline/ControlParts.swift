import Operations
package import Tensors

/// The steps of a control network, each alone and on given inputs.
extension ModelParts {
    /// What is around its blocks, with its weights in memory.
    package struct ResidentControl: Sendable {
        fileprivate let network: ControlNetwork<E>
        fileprivate let base: PatchEmbedding<E>
        /// Its own networks of time, guidance and prompt, or the base's.
        package let conditioning: ResidentConditioning

        /// What is added to where the branch sets out from, of a picture's latents `[channels, h, w]`.
        package func input(_ latents: Tensor) throws(InferenceError) -> Tensor {
            try allocating { () throws(MachineError) in
                try network.executor.tensor(from: try network.hint(latents, scale: 1, base).tokens)
            }
        }

        /// The patches of a step's input, by its own embedding or the base's.
        package func patches(_ latents: Tensor) throws(InferenceError) -> Tensor {
            try allocating { () throws(MachineError) in try network.executor.tensor(from: try (network.patchEmbedding ?? base)(latents)) }
        }
    }

    /// One of its blocks, and what is added to the base.
    package struct ResidentControlBlock: Sendable {
        package let block: ResidentBlock
        fileprivate let projection: E.Linear
        fileprivate let executor: E

        /// What is added of the branch's tokens `[tokens, width]`.
        package func residual(_ tokens: Tensor, scale: Double = 1) throws(InferenceError) -> Tensor {
            try allocating { () throws(MachineError) in
                try executor.tensor(from: try executor.multiply(try executor.rows(from: tokens), by: projection)).scaled(by: scale)
            }
        }
    }

    package func residentControl() throws(InferenceError) -> ResidentControl {
        let control = try controlConfiguration()
        let network = try ControlNetwork(control, loader)
        let conditioning =
            if let own = network.conditioning { ResidentConditioning(network: own, executor: loader.executor) } else { try residentConditioning() }
        return ResidentControl(
            network: network, base: try PatchEmbedding(loader, rows.patch, configuration.transformer), conditioning: conditioning)
    }

    package func residentControlBlock(_ index: Int) throws(InferenceError) -> ResidentControlBlock {
        let control = try controlConfiguration()
        let rows = ControlRows(control, loader.source.fusions)
        return ResidentControlBlock(
            block: ResidentBlock(
                block: try TransformerBlock(loader, rows.blocks[index], control.branch),
                projection: try PromptProjection(loader, rows.blocks[index], control.branch), executor: loader.executor),
            projection: try loader.linear(rows.residuals[index]), executor: loader.executor)
    }

    private func controlConfiguration() throws(InferenceError) -> ControlConfiguration {
        guard let control = configuration.control else { throw .missingComponent(.controlnet, needed: "run its steps") }
        return control
    }
}
