import Files
package import Tensors

/// One tensor of a packed file.
package struct TensorEntry: Sendable, Equatable {
    package var name: String { description.name }
    package var component: String { description.component }
    package var shape: Shape { description.shape }
    package var role: String { description.role }
    package var layout: TensorLayout { description.layout }
    package var scheme: Scheme { description.scheme }
    package var activations: ActivationScheme? { description.activations }
    /// Whether the tensor is stored in fewer than 16 bits.
    package var isQuantized: Bool { scheme.isQuantized }

    package let description: TensorDescription
    /// The planes of the scheme, in its order.
    package let planes: [PlaneEntry]
    package let sources: [SourceRecord]
    /// The distance of the decoded values from the sources'; nil where the writer did not state it.
    package let error: QuantizationError?
    /// NaNs and infinities among the values, which a writer keeps only when told to.
    package let nonfinite: Int
}

/// What a tensor is, apart from its bytes.
package struct TensorDescription: Sendable, Equatable {
    /// Packed name, for instance "dit.blocks.07.self.qkv.weight".
    package let name: String
    package let component: String
    package let shape: Shape
    /// What the weight is for: which rule quantized it. Readers need it for nothing.
    package let role: String
    package let layout: TensorLayout
    package let scheme: Scheme
    /// What the runtime does with the input of a quantized weight; nil for plain floating-point values.
    let activations: ActivationScheme?

    package init(
        name: String, component: String, shape: Shape, role: String, layout: TensorLayout = .same, scheme: Scheme, activations: ActivationScheme? = nil
    ) {
        self.name = name
        self.component = component
        self.shape = shape
        self.role = role
        self.layout = layout
        self.scheme = scheme
        self.activations = activations
    }
}

/// How the elements of each source are laid out in the packed tensor.
package enum TensorLayout: String, Sendable, CaseIterable {
    /// As in the source, up to a change of shape that moves no element.
    case same
    /// `[out, in, kh, kw]` becomes `[out, kh, kw, in]`, the order in which channels-last convolutions read their weights.
    case channelsLast = "channels-last"
}

/// One plane of a tensor: its values, or the scales that go with them.
package struct PlaneEntry: Sendable, Equatable {
    let name: String
    package let dtype: DType
    let shape: Shape
    package let section: Section
}

/// The checkpoint tensor, or one of those, that a packed tensor was made from.
package struct SourceRecord: Sendable, Equatable {
    package let name: String
    package let dtype: DType
    package let shape: Shape
    /// SHA-256 of its bytes in the checkpoint.
    package let sha256: String
    /// The tensor whose elements multiplied the rows of this one before encoding.
    package let rowScale: String?
    /// What adapters added to its rows before that, in order.
    package let additions: [AdditionRecord]

    /// How many of them a tensor may have.
    package static let mostOfTensor = Limits.sourcesPerTensor

    package init(name: String, dtype: DType, shape: Shape, sha256: String, rowScale: String? = nil, additions: [AdditionRecord] = []) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.sha256 = sha256
        self.rowScale = rowScale
        self.additions = additions
    }
}

/// What one adapter added to the rows of a source, by the names of its tensors (Formats/packed.md, "Adapters").
package struct AdditionRecord: Sendable, Equatable {
    package let factor: Double
    package let up: String
    /// Nil where `up` itself was added.
    package let down: String?
    package let magnitude: String?

    package init(factor: Double, up: String, down: String?, magnitude: String?) {
        (self.factor, self.up, self.down, self.magnitude) = (factor, up, down, magnitude)
    }

    package var names: [String] { [up] + [down, magnitude].compactMap { $0 } }
}
