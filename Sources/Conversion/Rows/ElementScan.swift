import Tensors

/// Looks for elements that no weight should be.
enum ElementScan {
    /// The first NaN or infinity of a floating-point tensor.
    static func nonfinite(_ tensor: EncodedTensor) -> (index: Int, value: Float)? {
        switch tensor.dtype {
        case .f16: unsafe first(tensor.bytes, exponent: UInt16(0x7C00)) { Float(Float16(bitPattern: $0)) }
        case .bf16: unsafe first(tensor.bytes, exponent: UInt16(0x7F80)) { Float(bitPattern: UInt32($0) << 16) }
        case .f32: unsafe first(tensor.bytes, exponent: UInt32(0x7F80_0000)) { Float(bitPattern: $0) }
        case .f64: unsafe first(tensor.bytes, exponent: UInt64(0x7FF0_0000_0000_0000)) { Float(Double(bitPattern: $0)) }
        default: preconditionFailure("\(tensor.dtype) is no weight's type")
        }
    }

    @unsafe private static func first<Bits: FixedWidthInteger & UnsignedInteger>(
        _ bytes: UnsafeRawBufferPointer, exponent: Bits, _ value: (Bits) -> Float
    ) -> (index: Int, value: Float)? {
        let elements = unsafe bytes.assumingMemoryBound(to: Bits.self)
        for index in 0..<elements.count where unsafe elements[index] & exponent == exponent { return (index, value(unsafe elements[index])) }
        return nil
    }

    /// The first element whose magnitude in `values` is at least `limit`, or no number, although it is finite in `source`.
    static func overflow(_ values: Tensor, from source: EncodedTensor, limit: Float) -> (index: Int, value: Float)? {
        let span = values.span
        for index in span.indices where !(span[index].magnitude < limit) && isFinite(source, index) { return (index, span[index]) }
        return nil
    }

    private static func isFinite(_ tensor: EncodedTensor, _ index: Int) -> Bool {
        switch tensor.dtype {
        case .f16: unsafe tensor.bytes.assumingMemoryBound(to: Float16.self)[index].isFinite
        case .bf16: unsafe tensor.bytes.assumingMemoryBound(to: UInt16.self)[index] & 0x7F80 != 0x7F80
        case .f32: unsafe tensor.bytes.assumingMemoryBound(to: Float.self)[index].isFinite
        case .f64: unsafe tensor.bytes.assumingMemoryBound(to: Double.self)[index].isFinite
        default: preconditionFailure("\(tensor.dtype) is no weight's type")
        }
    }
}
