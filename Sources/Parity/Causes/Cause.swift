/// What explains a difference.
///
/// A cause is told only where repeating the mistake on the right values gives the wrong ones: `residual` says how closely.
package struct Cause: Sendable, Equatable {
    package let kind: Kind
    /// One sentence for the reader.
    package let text: String
    /// Relative L2 between the values found and the right ones with the mistake made on purpose; nil where the values are not compared.
    let residual: Double?

    package init(_ kind: Kind, _ text: String, residual: Double? = nil) {
        self.kind = kind
        self.text = text
        self.residual = residual
    }

    /// The names of causes in reports.
    package enum Kind: String, Sendable, CaseIterable {
        // Of one tensor against another.
        case dropped, scaled, offset, transposed, mirrored, shifted, regrouped, clipped, overflow
        case nonfinite = "not-finite"
        case signFlipped = "sign-flipped"
        case rowsScaled = "rows-scaled"
        case columnsScaled = "columns-scaled"
        case partsSwapped = "parts-swapped"
        case layoutPermuted = "layout-permuted"
        case rowsPermuted = "rows-permuted"
        case columnsPermuted = "columns-permuted"
        case tilesPermuted = "tiles-permuted"
        case byteOrder = "byte-order"
        case roundedTwice = "rounded-twice"
        case fewElements = "few-elements"
        case wrongTensor = "wrong-tensor"
        case coarse = "coarse-quantization"
        // Of small files.
        case configuration, tokenizer
        // Of an operation.
        case biasMissing = "bias-missing"
        case normEpsilon = "norm-epsilon"
        case normOffset = "norm-offset"
        case activation
        case partMissing = "part-missing"
        case headGrouping = "head-grouping"
        case softCap = "soft-cap"
        case attentionScale = "attention-scale"
        case window
        case rotary
        case mask
        case guidance
        case timestep
        case channelOrder = "channel-order"
        case rounding
        case prompt
        // Nothing that was tried gives the values.
        case input, unknown
    }
}
