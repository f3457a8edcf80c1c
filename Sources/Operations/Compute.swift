package import Tensors

/// The arithmetic of matrix products with weights of 16 or 32 bits.
///
/// int8 weights with int8 activations compute in integers under both.
package enum Compute: String, Sendable, CaseIterable {
    /// Float32 throughout, whatever the weights are stored as.
    case float32 = "fp32"
    /// Weights and activations rounded to bfloat16 (to nearest, ties to even), products exact, sums in float32.
    case bfloat16 = "bf16"
    /// The same in float16. A weight or an activation beyond its largest number, 65504, is an error that names the layer.
    case float16 = "fp16"

    /// The type of a product's operands where they are rounded.
    package var rounded: DType? {
        switch self {
        case .float32: nil
        case .bfloat16: .bf16
        case .float16: .f16
        }
    }
}
