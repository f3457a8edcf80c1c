import Tensors

/// The floating-point format that a trace was computed in, coarsest last.
package enum Arithmetic: String, Sendable, CaseIterable, Comparable {
    case float64, float32, float16, bfloat16

    /// The format of stored elements; nil for integers, which are judged exactly.
    init?(_ dtype: DType) {
        switch dtype {
        case .f64: self = .float64
        case .f32: self = .float32
        case .f16: self = .float16
        case .bf16: self = .bfloat16
        default: return nil
        }
    }

    /// Largest relative error of one rounding: half a unit in the last place.
    package var unitRoundoff: Double {
        switch self {
        case .float64: 0x1p-53
        case .float32: 0x1p-24
        case .float16: 0x1p-11
        case .bfloat16: 0x1p-8
        }
    }

    package static func < (left: Arithmetic, right: Arithmetic) -> Bool { left.unitRoundoff < right.unitRoundoff }
}
