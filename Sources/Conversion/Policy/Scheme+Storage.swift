import PackedFiles
import Tensors

extension Scheme {
    /// Whether values are rounded to steps of their row's scale.
    package var isQuantized: Bool { dtype == nil }

    /// The element type of a scheme of plain floating-point values: what a source of the same type passes through untouched.
    var dtype: DType? {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .int8PerChannel, .int8Rotated: nil
        }
    }

    /// Magnitudes from here on are rounded to infinity; int8 has a scale for every finite row.
    var overflowLimit: Float {
        switch self {
        case .f16: 65520
        case .bf16: Float(bitPattern: 0x7F7F_8000)
        case .f32, .int8PerChannel, .int8Rotated: .infinity
        }
    }

    /// Bytes of the planes of a tensor, before compression.
    func byteCount(_ shape: Shape) -> UInt64 { planes(for: shape).reduce(0) { $0 + UInt64($1.byteCount) } }
}
