package import PackedFiles
package import Tensors

/// A weight as a source holds it: decoded from its codec, not from its scheme.
package struct StoredWeight: Sendable {
    package let scheme: Scheme
    package let shape: Shape
    /// Those that the scheme prescribes for the shape.
    package let planes: [EncodedTensor]
    package var activations: ActivationScheme
    /// Its packed name, once it has been loaded: for those who tell about it, and for errors.
    package var name: String

    package init(_ scheme: Scheme, _ shape: Shape, planes: [EncodedTensor], activations: ActivationScheme = .float, name: String = "") {
        (self.scheme, self.shape, self.planes, self.activations, self.name) = (scheme, shape, planes, activations, name)
    }

    /// Floating-point values as they are.
    /// - Precondition: of the type F16, BF16 or F32.
    package static func plain(_ tensor: EncodedTensor) -> StoredWeight {
        guard let scheme = SchemeList.builtIn.schemes.first(where: { $0.elementType == tensor.dtype }) else {
            preconditionFailure("\(tensor.dtype) is no weight's type")
        }
        return StoredWeight(scheme, tensor.shape, planes: [tensor])
    }

    /// The values in float32 where they are stored so; nil for all else.
    package var float32: Tensor? { scheme.elementType == .f32 ? Tensor(sharing: planes[0]) : nil }

    /// The elements in float32, to read alone: shared with the planes where they are stored so.
    package func floats() throws(MachineError) -> Tensor {
        if let float32 { return float32 }
        return try widened()
    }

    /// The elements in float32.
    package func widened() throws(MachineError) -> Tensor { try scheme.decode(planes, shape: shape) }

    /// What the integer contract multiplies; nil for schemes that it does not cover.
    package func integerRows() throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor)? {
        try scheme.integerRows(planes, shape: shape)
    }

    /// What the integer contract does with inputs before it quantizes them; nil where nothing.
    package func inputTurn() throws(MachineError) -> InputTurn? {
        guard let block = scheme.integerTurn, block > 1 else { return nil }
        return InputTurn(block: block, factors: try scheme.inputFactors(planes))
    }

    /// Some rows: a copy, where they are not all.
    package func rows(_ range: Range<Int>) throws(MachineError) -> StoredWeight {
        try StoredWeight(
            scheme, Shape([range.count] + shape.extents.dropFirst()), planes: scheme.rows(range, of: planes, shape), activations: activations, name: name)
    }

    /// A copy of some rows, ascending, each once.
    package func rows(_ indices: [Int]) throws(MachineError) -> StoredWeight {
        try StoredWeight(
            scheme, Shape([indices.count] + shape.extents.dropFirst()), planes: scheme.rows(indices, of: planes, shape), activations: activations, name: name)
    }
}
