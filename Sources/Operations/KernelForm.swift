package import PackedFiles
import Tensors

/// In which form kernels take a weight: found by what its scheme says of itself and by what is done with its inputs. A scheme that no kernel
/// knows is decoded to float32 when the weight is loaded.
package enum KernelForm: Sendable, Equatable {
    case float32
    /// 16-bit floats, decoded right before the product that uses them.
    case half
    /// int8 rows with a scale each, decoded so too.
    case scaledRows
    /// int8 rows that the integer contract multiplies, with inputs turned in blocks of at most so many; 1 for inputs as they are.
    case integers(turn: Int)

    package init(_ scheme: Scheme, _ activations: ActivationScheme) {
        self =
            switch (scheme.integerTurn, activations) {
            case (let turn?, .int8PerToken): .integers(turn: turn)
            case (1, .float): .scaledRows
            default: scheme.elementType == .f16 || scheme.elementType == .bf16 ? .half : .float32
            }
    }

    package var multipliesIntegers: Bool {
        if case .integers = self { true } else { false }
    }

    package var turnsInputs: Bool { multipliesIntegers && self != .integers(turn: 1) }
}

extension StoredWeight {
    package var form: KernelForm { KernelForm(scheme, activations) }
}
