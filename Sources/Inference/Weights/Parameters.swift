/// The rows of one layer's weight and, where it has one, of its bias: what a table says of a layer, and what the layer is loaded by.
struct Parameters: Sendable {
    /// Packed name without "weight" or "bias".
    let name: String
    let weight: WeightRow
    let bias: WeightRow?

    init(_ name: String, weight: WeightRow, bias: WeightRow?) { (self.name, self.weight, self.bias) = (name, weight, bias) }
}

/// The rows of a `GatedConvolution`.
struct GatedConvolutionRows: Sendable {
    /// Value and gate: each half of the outputs.
    let input: Parameters
    let depthwise: Parameters
    let output: Parameters
    var norm: Parameters?
}
