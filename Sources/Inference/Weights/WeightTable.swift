package import PackedFiles
package import Tensors

/// One packed weight and how it comes from the checkpoint: the model family's knowledge as data, which Conversion interprets.
package struct WeightRow: Sendable, Equatable {
    /// Packed name, for instance "dit.blocks.07.self.qkv.weight".
    package let name: String
    /// Packed shape; linears and 1x1 convolutions are `[outputs, inputs]`.
    package let shape: Shape
    package let role: Role
    package let recipe: Recipe
    package let layout: TensorLayout

    package init(name: String, shape: Shape, role: Role, recipe: Recipe, layout: TensorLayout = .same) {
        self.name = name
        self.shape = shape
        self.role = role
        self.recipe = recipe
        self.layout = layout
    }
}

/// What a weight is for, which is what quantization policies go by.
package enum Role: String, Sendable, CaseIterable {
    /// A linear or 1x1 convolution in the bulk of the DiT: W8A8 in the preset int8.
    case linear
    /// A linear whose input is a product of two maps, value and gate: W8A8 too, but its rows have outliers, which are turned away.
    case gatedLinear = "gated-linear"
    /// A linear of the text encoder: int8 weights with float activations in the preset int8.
    case textLinear = "text-linear"
    /// A token embedding table.
    case embedding
    /// A linear that quantizing would cost the picture, kept in 16 bits: embedders, projections in and out, cross-attention K and V.
    case sensitiveLinear = "sensitive-linear"
    /// A 3x3 convolution, or a linear or 1x1 convolution of the autoencoder: W8A8 in the preset int8, in the decoder.
    case convolution
    /// The autoencoder's first and last convolutions, kept in 16 bits: they touch pixels and latents directly.
    case sensitiveConvolution = "sensitive-convolution"
    /// A 1x1 convolution in groups of few channels, kept in 16 bits: next to no weights, next to no work.
    case groupedConvolution = "grouped-convolution"
    case depthwise
    case bias
    case norm
    /// Modulation tables.
    case table
    /// Embeddings of a frozen schedule, which every step adds to everything.
    case schedule
}

/// The rewrites of the graph at conversion. The first two only concatenate; the third changes stored values.
package struct Fusions: OptionSet, Sendable, Hashable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// q, k and v of self-attention (DiT, Gemma; the DC-AE's thirds) in one weight; gate and up of Gemma's MLP in one.
    package static let queryKeyValue = Fusions(rawValue: 1)
    /// k and v of cross-attention in one weight.
    package static let crossKeyValue = Fusions(rawValue: 2)
    /// norm_q of the DiT's linear attention folded into to_q: its positive per-token factor cancels between numerator and denominator, only its weight stays.
    package static let queryNorm = Fusions(rawValue: 4)

    package static let lossless: Fusions = [.queryKeyValue, .crossKeyValue]

    /// Names in the packed directory.
    package static let names: [(Fusions, String)] = [(.queryKeyValue, "qkv"), (.crossKeyValue, "cross-kv"), (.queryNorm, "query-norm")]

    /// Those of `names` that are known.
    package init(names: [String]) { self = Self.names.filter { names.contains($0.1) }.reduce(into: []) { $0.formUnion($1.0) } }

    /// The names of these fusions, in the order of the table.
    package var names: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
}
