import Inference
import PackedFiles
import Tensors

/// The storage a user asks for by one word.
package enum Preset: String, Sendable, CaseIterable {
    /// Every weight widened to float32, exactly.
    case fp32
    /// Every weight in float16; a finite value that float16 cannot hold is an error.
    case fp16
    /// Every weight in bfloat16; a checkpoint in bfloat16 is stored bit for bit.
    case bf16
    /// The DiT's linears and the autoencoder's decoder W8A8 by the integer contract, the text encoder's weights int8, the rest in 16 bits.
    case int8
    /// int8, but with four bits for the text encoder's weights and, where there are statistics to choose by, for most linears of the DiT, and eight for its embedders: the smallest.
    case compact

    /// The rewrites a file of this preset goes through: those that change stored values only where values change anyway.
    var fusions: Fusions {
        switch self {
        case .fp32, .fp16, .bf16: .lossless
        case .int8, .compact: [.lossless, .queryNorm]
        }
    }
}

/// How one tensor is stored, and what a quantized linear does with its input.
package struct Storage: Sendable, Equatable, CustomStringConvertible {
    let scheme: Scheme
    /// Nil for the schemes that hold plain floating-point values.
    let activations: ActivationScheme?

    init(_ scheme: Scheme, activations: ActivationScheme? = nil) {
        self.scheme = scheme
        self.activations = activations
    }

    /// Whether a preset's storage of a tensor of this shape is for a calibration to better.
    func isOpen(_ shape: Shape) -> Bool { activations == .int8PerToken && shape.rank == 2 }

    package var description: String { activations.map { "\(scheme) \($0.rawValue)" } ?? scheme.name }
}
