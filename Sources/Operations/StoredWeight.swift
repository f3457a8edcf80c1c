import PackedFiles
package import Tensors

/// A weight as a source holds it: decoded from its codec, not from its scheme.
package enum StoredWeight: Sendable {
    /// Any floating-point type.
    case plain(EncodedTensor)
    /// Symmetric int8 with one float32 scale per output channel (the first axis): weight = scale * value, values in -127 ... 127.
    case int8PerChannel(values: EncodedTensor, scales: Tensor, activations: ActivationScheme)
    /// The same of weights that are turned along their inputs (Formats/schemes.md, "int8-rotated").
    case int8Rotated(values: EncodedTensor, scales: Tensor, activations: ActivationScheme)

    package var shape: Shape {
        switch self {
        case .plain(let tensor): tensor.shape
        case .int8PerChannel(let values, _, _), .int8Rotated(let values, _, _): values.shape
        }
    }

    /// Whether products are computed by the integer contract.
    var multipliesIntegers: Bool {
        switch self {
        case .int8PerChannel(_, _, .int8PerToken), .int8Rotated(_, _, .int8PerToken): true
        case .plain, .int8PerChannel, .int8Rotated: false
        }
    }
}

/// What a quantized linear does with its input.
package enum ActivationScheme: String, Sendable {
    /// Float32 arithmetic with the decoded weight.
    case float
    /// Symmetric int8 per token, int32 accumulators: the integer contract.
    case int8PerToken = "int8-per-token"
}

extension StoredWeight {
    /// A copy of some rows.
    package func rows(_ indices: [Int]) throws(AllocationError) -> StoredWeight {
        switch self {
        case .plain(let tensor): return .plain(try tensor.rows(indices))
        case .int8PerChannel(let values, let scales, let activations):
            return .int8PerChannel(values: try values.rows(indices), scales: try scales.rows(indices), activations: activations)
        case .int8Rotated(let values, let scales, let activations):
            return .int8Rotated(values: try values.rows(indices), scales: try scales.rows(indices), activations: activations)
        }
    }

    /// The elements in float32.
    package func widened() throws(AllocationError) -> Tensor {
        switch self {
        case .plain(let tensor): try tensor.widened()
        case .int8PerChannel(let values, let scales, _): try values.scaledRows(by: scales)
        case .int8Rotated(let values, let scales, _): try Scheme.int8Rotated.decode([values, EncodedTensor(scales)], shape: values.shape)
        }
    }

    /// Some rows: a copy, where they are not all.
    func rows(_ range: Range<Int>) throws(AllocationError) -> StoredWeight {
        switch self {
        case .plain(let tensor): .plain(try tensor.rows(range))
        case .int8PerChannel(let values, let scales, let activations):
            .int8PerChannel(values: try values.rows(range), scales: try scales.rows(range), activations: activations)
        case .int8Rotated(let values, let scales, let activations):
            .int8Rotated(values: try values.rows(range), scales: try scales.rows(range), activations: activations)
        }
    }
}

extension EncodedTensor {
    /// int8 rows times one scale each.
    func scaledRows(by scales: Tensor) throws(AllocationError) -> Tensor {
        var result = try widened()
        let (columns, factors) = (shape.columns, scales.elements)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] *= factors[index / columns] }
        return result
    }
}
