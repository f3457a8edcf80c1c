package import Tensors

extension ModelParts {
    /// One block of the transformer with its weights in memory, for whoever runs many inputs through it before the next is loaded.
    package struct ResidentBlock: Sendable {
        fileprivate let block: TransformerBlock
        fileprivate let projection: PromptProjection

        /// Keys and values of a prompt's projected tokens.
        package func keyValues(of caption: Tensor) throws(InferenceError) -> PackedKeyValues {
            try InferenceError.wrap { () throws(AllocationError) in try projection(caption) }
        }

        /// Runs the block on `x` [height * width, channels] in place.
        /// - Parameter modulation: `[6, width]`.
        package func apply(_ x: inout Tensor, modulation: Tensor, keyValues: PackedKeyValues, height: Int, width: Int) throws(InferenceError) {
            do throws(AllocationError) {
                try block.apply(&x, modulation: modulation, keyValues: keyValues, height: height, width: width)
            } catch { throw .memory(error) }
        }

        /// The block's output for tokens `x`.
        /// - Parameters:
        ///   - modulation: `[1, 6 width]` or `[6, width]`.
        ///   - caption: the tokens of the prompt that the block attends to.
        ///   - height, width: of the token grid.
        package func callAsFunction(_ x: Tensor, modulation: Tensor, caption: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
            let keyValues = try keyValues(of: caption)
            var result = try InferenceError.wrap { () throws(AllocationError) in try x.copy() }
            try apply(&result, modulation: modulation.reshaped([6, x.columns]), keyValues: keyValues, height: height, width: width)
            return result
        }
    }

    /// The networks around the blocks, or the tables in their place, with their weights in memory.
    package struct ResidentConditioning: Sendable {
        fileprivate let network: TransformerConditioning

        /// The embedding `[1, width]` of time and guidance, as the user states them, and its projection `[6, width]`.
        package func embed(time: Double, guidance: Double) throws(InferenceError) -> (embedding: Tensor, modulation: Tensor) {
            try network.embed(time: time, guidance: guidance)
        }

        /// A prompt's features `[tokens, captionChannels]` at the transformer's width.
        package func caption(_ features: Tensor) throws(InferenceError) -> Tensor {
            try InferenceError.wrap { () throws(AllocationError) in try network.caption(features) }
        }
    }

    /// Loads a block.
    /// - Parameter built: the layers that need not be loaded, and where those go that are.
    package func residentBlock(_ index: Int, _ built: BuiltLayers? = nil) throws(InferenceError) -> ResidentBlock {
        let loader = WeightLoader(source: loader.source, built: built)
        return try InferenceError.loading { () throws(WeightError) in
            ResidentBlock(
                block: try TransformerBlock(loader, index, configuration.transformer),
                projection: try PromptProjection(loader, index, configuration.transformer))
        }
    }

    /// Loads what the blocks are told of time, guidance and prompt.
    package func residentConditioning() throws(InferenceError) -> ResidentConditioning {
        ResidentConditioning(network: try InferenceError.loading { () throws(WeightError) in try TransformerConditioning(loader, configuration.transformer) })
    }
}
