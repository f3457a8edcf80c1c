import Tensors

/// Looks for elements that no weight should be.
enum ElementScan {
    /// The first NaN or infinity of a floating-point tensor.
    static func nonfinite(_ tensor: EncodedTensor) -> (index: Int, value: Float)? {
        tensor.firstNonfinite.map { ($0, value(tensor, $0)) }
    }

    private static func value(_ tensor: EncodedTensor, _ index: Int) -> Float {
        switch tensor.dtype {
        case .f16: Float(unsafe tensor.bytes.assumingMemoryBound(to: Float16.self)[index])
        case .bf16: Float(bitPattern: UInt32(unsafe tensor.bytes.assumingMemoryBound(to: UInt16.self)[index]) << 16)
        case .f32: unsafe tensor.bytes.assumingMemoryBound(to: Float.self)[index]
        case .f64: Float(unsafe tensor.bytes.assumingMemoryBound(to: Double.self)[index])
        default: preconditionFailure("\(tensor.dtype) is no weight's type")
        }
    }

    /// The first element whose magnitude in `values` is at least `limit`, or no number, although it is finite in `source`.
    static func overflow(_ values: Tensor, from source: EncodedTensor, limit: Float) -> (index: Int, value: Float)? {
        let span = values.span
        for index in span.indices where !(span[index].magnitude < limit) && isFinite(source, index) { return (index, span[index]) }
        return nil
    }

    private static func isFinite(_ tensor: EncodedTensor, _ index: Int) -> Bool {
        // A finite float64 may be infinite as float32.
        if tensor.dtype == .f64 { return unsafe tensor.bytes.assumingMemoryBound(to: Double.self)[index].isFinite }
        return value(tensor, index).isFinite
    }
}
