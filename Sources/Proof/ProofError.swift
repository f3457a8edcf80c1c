import Checkpoints
package import Conversion
package import Inference
import PackedFiles
import Safetensors
package import Tensors

/// Why a verification could not be carried out. What it finds wrong is its result, not an error.
package enum ProofError: Error, Sendable, Equatable, CustomStringConvertible {
    case conversion(ConversionError)
    case inference(InferenceError)
    case machine(MachineError)
    /// A trace that cannot be read.
    case trace(String)
    /// A certificate that cannot be made.
    case certificate(String)

    package var description: String {
        switch self {
        case .conversion(let error): "\(error)"
        case .inference(let error): "\(error)"
        case .machine(let error): "\(error)"
        case .trace(let message), .certificate(let message): message
        }
    }

    /// Whether it is the machine that failed, not the content of a file: then going on would accuse the innocent.
    init?(machine error: ConversionError) {
        switch error {
        case .machine, .packedFile(.machine), .safetensors(.machine), .checkpoint(.machine): self = .conversion(error)
        case .file, .checkpoint(.file), .checkpoint(.safetensors(.file)): self = .conversion(error)
        default: return nil
        }
    }

    init?(machine error: InferenceError) {
        switch error {
        case .machine, .library: self = .inference(error)
        default: return nil
        }
    }
}
