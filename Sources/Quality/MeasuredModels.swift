package import Conversion
package import Inference
package import Operations
package import PackedFiles
import Parity
package import Tensors

/// The models that are measured on identical inputs: the checkpoint's, the file's, and all between them.
package struct MeasuredModels {
    let executor: CPU
    package let configuration: SanaSprintConfiguration
    package let packed: PackedWeights
    /// The checkpoint's weights in float32, with the file's fusions, so that layers can be exchanged.
    package let fused: CheckpointWeights

    package init(executor: CPU, configuration: SanaSprintConfiguration, packed: PackedWeights, fused: CheckpointWeights) {
        (self.executor, self.configuration, self.packed, self.fused) = (executor, configuration, packed, fused)
    }

    var exact: ModelParts<CPU> { parts(fused) }
    var layers: Int { configuration.transformer.layers }
    func parts(_ weights: any WeightSource, compute: Compute = .float32) -> ModelParts<CPU> {
        ModelParts(configuration, from: weights, on: executor, compute: compute)
    }

    /// The file's weights with some layers as a rule for 16 bits would keep them.
    package func keeping(_ entries: [TensorEntry]) -> KeptWeights {
        KeptWeights(file: packed, checkpoint: fused, kept: Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.keptScheme) }))
    }

    /// The file's model with one layer of the checkpoint's, for each.
    package func candidates(_ entries: [TensorEntry]) -> [VelocityWave<CPU>.Candidate] {
        entries.map { VelocityWave<CPU>.Candidate($0.name, parts(keeping([$0]))) }
    }

    /// What the blocks are told besides their tokens.
    struct Conditions {
        let embedding: Tensor
        let modulation: Tensor
        /// By draw.
        let captions: [Tensor]

        init(_ parts: ModelParts<some Executor>, _ time: Double, _ guidance: Double, _ features: [Tensor]) throws(InferenceError) {
            self = try Self.at([time], parts, guidance, features)[0]
        }

        private init(_ told: (embedding: Tensor, modulation: Tensor), _ captions: [Tensor]) {
            (embedding, modulation) = told
            self.captions = captions
        }

        /// Those of several times, with weights that are loaded once.
        static func at(_ times: [Double], _ parts: ModelParts<some Executor>, _ guidance: Double, _ features: [Tensor]) throws(InferenceError) -> [Conditions] {
            try at(times, try parts.residentConditioning(), guidance, features)
        }

        static func at<E>(
            _ times: [Double], _ loaded: ModelParts<E>.ResidentConditioning, _ guidance: Double, _ features: [Tensor]
        ) throws(InferenceError) -> [Conditions] {
            let captions = try features.map { rows throws(InferenceError) in try loaded.caption(rows) }
            return try times.map { time throws(InferenceError) in Conditions(try loaded.embed(time: time, guidance: guidance), captions) }
        }
    }

    /// The token grid.
    struct Grid {
        let height: Int
        let width: Int

        /// Runs a block on tokens in place.
        /// - Parameter draws: of which draw each of them is.
        func advance<E>(
            _ tokens: inout [Tensor], of draws: [Int], _ block: ModelParts<E>.ResidentBlock, _ conditions: Conditions
        ) throws(InferenceError) {
            guard !tokens.isEmpty else { return }
            var known: [Int: E.KeyValues] = [:]
            for draw in Set(draws) { known[draw] = try block.keyValues(of: conditions.captions[draw]) }
            let keyValues = draws.compactMap { known[$0] }
            try block.apply(&tokens, modulation: conditions.modulation, keyValues: keyValues, height: height, width: width)
        }

        /// What a block makes of the tokens of each draw.
        func advanced<E>(_ tokens: [Tensor], _ block: ModelParts<E>.ResidentBlock, _ conditions: Conditions) throws(InferenceError) -> [Tensor] {
            var result = tokens
            try advance(&result, of: Array(tokens.indices), block, conditions)
            return result
        }
    }

    /// The pictures `[imageChannels, height, width]` of latents of unit variance.
    package func pictures(_ weights: any WeightSource, _ latents: [Tensor]) throws(InferenceError) -> [Tensor] { try parts(weights).pictures(latents) }

    /// ||other - reference||² / ||reference||².
    package static func error(_ reference: Tensor, _ other: Tensor) -> Double {
        let distance = Metrics(reference: reference, other: other).relativeL2
        return distance * distance
    }
}

extension ModelParts {
    func grid(_ latents: Tensor) -> MeasuredModels.Grid {
        let patch = configuration.transformer.patch
        return MeasuredModels.Grid(height: latents.shape[1] / patch, width: latents.shape[2] / patch)
    }

    func tokens(_ inputs: [Tensor]) throws(InferenceError) -> [Tensor] {
        try inputs.map { latents throws(InferenceError) in try patchEmbedding(latents) }
    }

    /// The velocity of the last block's tokens.
    func finish(_ x: Tensor, _ conditions: MeasuredModels.Conditions, _ input: Tensor) throws(InferenceError) -> Tensor {
        try output(try outputNorm(x, embedding: conditions.embedding), height: input.shape[1], width: input.shape[2])
    }

    /// The pictures `[imageChannels, height, width]` of latents of unit variance.
    func pictures(_ latents: [Tensor]) throws(InferenceError) -> [Tensor] {
        let factor = 1 / (configuration.vae?.scalingFactor ?? 1)
        return try decode(try latents.map { latents throws(InferenceError) in try allocating(try latents.scaled(by: factor)) })
    }
}

/// Where in the transformer a weight acts.
enum TransformerPlace: Hashable {
    case conditioning, patch, block(Int), end
}

extension TransformerPlace {
    /// - Parameter name: a packed name.
    init(of name: String) {
        let blocks = "dit.blocks."
        if name.hasPrefix(blocks), let index = Int(name.dropFirst(blocks.count).prefix { $0 != "." }) {
            self = .block(index)
        } else if name.hasPrefix("dit.out.") {
            self = .end
        } else {
            self = name.hasPrefix("dit.patch.") ? .patch : .conditioning
        }
    }
}
