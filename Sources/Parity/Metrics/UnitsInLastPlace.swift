package import Tensors

/// Counts how many representable values lie between two numbers, in one floating-point format.
package enum UnitsInLastPlace: Sendable, Equatable {
    case integer, float16, bfloat16, float32, float64

    /// The format of fewer bits: a difference that a format cannot express is no difference in it.
    package init(coarserOf left: DType, _ right: DType) {
        self = [UnitsInLastPlace(left), UnitsInLastPlace(right)].min { $0.rank < $1.rank } ?? .float64
    }

    private init(_ dtype: DType) {
        switch dtype {
        case .f64: self = .float64
        case .f32: self = .float32
        case .f16: self = .float16
        case .bf16: self = .bfloat16
        default: self = .integer
        }
    }

    private var rank: Int {
        switch self {
        case .bfloat16: 0
        case .float16: 1
        case .float32: 2
        case .float64: 3
        case .integer: 4
        }
    }

    /// Steps from one number to the other, each first rounded to the format; for integers their difference.
    /// - Precondition: both are finite.
    func distance(_ left: Double, _ right: Double) -> UInt64 {
        switch self {
        case .integer: UInt64(min(abs(left - right), 0x1p63))
        case .float64: Self.steps(Self.ordered(Int64(bitPattern: left.bitPattern)), Self.ordered(Int64(bitPattern: right.bitPattern)))
        case .float32: Self.steps(ordered(left), ordered(right))
        case .float16: Self.steps(half(left), half(right))
        case .bfloat16: Self.steps(brain(left), brain(right))
        }
    }

    /// Bit patterns as integers in the order of the values: negative numbers are stored as sign and magnitude.
    private static func ordered(_ bits: Int64) -> Int64 { bits >= 0 ? bits : .min - bits }
    private static func steps(_ left: Int64, _ right: Int64) -> UInt64 { UInt64(bitPattern: max(left, right) &- min(left, right)) }

    private func ordered(_ value: Double) -> Int64 {
        let magnitude = Int64(Float(abs(value)).bitPattern)
        return value < 0 ? -magnitude : magnitude
    }

    private func half(_ value: Double) -> Int64 {
        let magnitude = Int64(Float16(abs(value)).bitPattern)
        return value < 0 ? -magnitude : magnitude
    }

    private func brain(_ value: Double) -> Int64 {
        let magnitude = Int64(Float(abs(value)).bfloat16Bits)
        return value < 0 ? -magnitude : magnitude
    }
}
