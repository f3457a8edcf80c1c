import Tensors

/// Looks for elements that no weight should be.
enum ElementScan {
    /// The first NaN or infinity of a floating-point tensor.
    static func nonfinite(_ tensor: EncodedTensor) -> (index: Int, value: Float)? {
        tensor.firstNonfinite.map { ($0, Float(tensor.double(at: $0))) }
    }

    /// The first element whose magnitude in `values` is at least `limit`, or no number, although it is finite in `source`.
    static func overflow(_ values: Tensor, from source: EncodedTensor, limit: Float) -> (index: Int, value: Float)? {
        let span = values.span
        // A finite float64 may be infinite as float32.
        for index in span.indices where !(span[index].magnitude < limit) && source.double(at: index).isFinite { return (index, span[index]) }
        return nil
    }
}
