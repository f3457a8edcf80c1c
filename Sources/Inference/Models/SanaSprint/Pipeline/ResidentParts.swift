package import Operations
package import Tensors

extension ModelParts {
    /// One block of the transformer with its weights in memory, for whoever runs many inputs through it before the next is loaded.
    package struct ResidentBlock: Sendable {
        let block: TransformerBlock<E>
        let projection: PromptProjection<E>
        let executor: E

        /// Keys and values of a prompt's projected tokens.
        package func keyValues(of caption: Tensor) throws(InferenceError) -> E.KeyValues {
            try allocating(try projection(try executor.rows(from: caption)))
        }

        /// Rows that products take at once: enough that reading the weights is a small part of their work.
        package static var rowsAtOnce: Int { 1024 }

        /// Runs the block on maps of tokens, each `[height * width, channels]`, in place: many of them in one product.
        /// - Parameters:
        ///   - modulation: `[1, 6 width]` or `[6, width]`.
        ///   - keyValues: of each map's prompt.
        package func apply(_ maps: inout [Tensor], modulation: Tensor, keyValues: [E.KeyValues], height: Int, width: Int) throws(InferenceError) {
            let tokens = height * width
            try allocating { () throws(MachineError) in
                let modulation = try executor.rows(from: modulation)
                var start = 0
                while start < maps.count {
                    // A power of two: buffers have few sizes, and can be used again.
                    let count = max(1, min(Self.rowsAtOnce / tokens, maps.count - start)).highestBit
                    let range = start..<start + count
                    defer { start += count }
                    var x = try executor.rows(from: try Tensor(stacking: Array(maps[range])))
                    try block.apply(&x, modulation: modulation, keyValues: Array(keyValues[range]), height: height, width: width)
                    let moved = try executor.tensor(from: x)
                    for index in range { maps[index] = try moved.rows((index - start) * tokens..<(index - start + 1) * tokens) }
                }
            }
        }

        /// The block's output for tokens `x`.
        /// - Parameters:
        ///   - modulation: `[1, 6 width]` or `[6, width]`.
        ///   - caption: the tokens of the prompt that the block attends to.
        ///   - height, width: of the token grid.
        package func callAsFunction(_ x: Tensor, modulation: Tensor, caption: Tensor, height: Int, width: Int) throws(InferenceError) -> Tensor {
            try self([x], modulation: modulation, caption: caption, height: height, width: width)[0]
        }

        /// The same for several maps of tokens that attend to one caption.
        package func callAsFunction(_ x: [Tensor], modulation: Tensor, caption: Tensor, height: Int, width: Int) throws(InferenceError) -> [Tensor] {
            var maps = x
            let keyValues = [E.KeyValues](repeating: try keyValues(of: caption), count: x.count)
            try apply(&maps, modulation: modulation, keyValues: keyValues, height: height, width: width)
            return maps
        }
    }

    /// The networks around the blocks, or the tables in their place, with their weights in memory.
    package struct ResidentConditioning: Sendable {
        let network: TransformerConditioning<E>
        let executor: E

        /// The embedding `[1, width]` of time and guidance, as the user states them, and its projection `[6, width]`.
        package func embed(time: Double, guidance: Double) throws(InferenceError) -> (embedding: Tensor, modulation: Tensor) {
            let (embedding, modulation) = try network.embed(time: time, guidance: guidance)
            return try allocating { () throws(MachineError) in
                let embedding = try executor.tensor(from: embedding)
                return (embedding.reshaped([1, embedding.count]), try executor.tensor(from: modulation).reshaped([6, embedding.count]))
            }
        }

        /// A prompt's features `[tokens, captionChannels]` at the transformer's width.
        package func caption(_ features: Tensor) throws(InferenceError) -> Tensor {
            try allocating(try executor.tensor(from: try network.caption(features)))
        }
    }

    /// Loads a block.
    /// - Parameter built: the layers that need not be loaded, and where those go that are.
    package func residentBlock(_ index: Int, _ built: BuiltLayers? = nil) throws(InferenceError) -> ResidentBlock {
        let loader = WeightLoader(source: loader.source, on: loader.executor, compute: loader.compute, built: built)
        return ResidentBlock(
            block: try TransformerBlock(loader, rows.blocks[index], configuration.transformer),
            projection: try PromptProjection(loader, rows.blocks[index], configuration.transformer),
            executor: loader.executor)
    }

    /// Loads what the blocks are told of time, guidance and prompt.
    package func residentConditioning() throws(InferenceError) -> ResidentConditioning {
        ResidentConditioning(
            network: try TransformerConditioning(loader, rows.conditioning, configuration.transformer),
            executor: loader.executor)
    }
}

extension Int {
    /// The largest power of two that is not larger.
    /// - Precondition: positive.
    fileprivate var highestBit: Int { 1 << (Int.bitWidth - 1 - leadingZeroBitCount) }
}
