internal import Glibc
package import Tensors

/// How far a tensor is from its reference: one pass, sums in double.
///
/// Elements that are not finite in either tensor stay out of the sums. They are counted, and where the two tensors do not have
/// the same one (NaN for NaN, infinity for infinity of the same sign) `mismatches` says so, which no gate lets pass.
package struct Metrics: Sendable, Equatable {
    /// Elements looked at.
    package private(set) var count = 0
    private(set) var referenceNaN = 0
    private(set) var referenceInfinite = 0
    private(set) var otherNaN = 0
    private(set) var otherInfinite = 0
    /// Elements of which one is not finite and the other is not the same.
    package private(set) var mismatches = 0
    /// Largest |other - reference|.
    package private(set) var maxAbs = 0.0
    /// Position, in row-major order of the elements looked at, of `maxAbs` or of the first mismatch; nil when all are equal.
    private(set) var worstElement: Int?
    /// Largest distance in units of the last place of the coarser of the two element types; 0 for integers that are equal.
    package private(set) var maxULP: UInt64 = 0

    private var referenceSquares = 0.0
    private var otherSquares = 0.0
    private var differenceSquares = 0.0
    private var products = 0.0

    package init() {}

    /// ‖other - reference‖ / ‖reference‖: 0 when nothing differs, infinite when the reference is zero and the other is not.
    package var relativeL2: Double {
        differenceSquares == 0 ? 0 : referenceSquares == 0 ? .infinity : (differenceSquares / referenceSquares).squareRoot()
    }

    /// Signal to quantization noise, 10 log10(‖reference‖² / ‖other - reference‖²) in dB; nil when nothing differs.
    package var sqnr: Double? {
        guard differenceSquares > 0 else { return nil }
        return referenceSquares == 0 ? -.infinity : 10 * log10(referenceSquares / differenceSquares)
    }

    /// Cosine of the angle between the two; 1 for two zero tensors, 0 when only one is zero.
    var cosine: Double {
        guard referenceSquares > 0, otherSquares > 0 else { return referenceSquares == otherSquares ? 1 : 0 }
        return products / (referenceSquares.squareRoot() * otherSquares.squareRoot())
    }

    /// Root of the mean square of the finite reference elements.
    package var referenceRMS: Double { count == 0 ? 0 : (referenceSquares / Double(count)).squareRoot() }

    /// Whether every element is equal; NaN equals NaN here, and -0 equals 0.
    var isExact: Bool { mismatches == 0 && maxAbs == 0 }

    /// The relative L2 for people, which counts finite values alone, and what it leaves out.
    package var distance: String {
        let distance = "relative L2 \(Decimal.short(relativeL2))"
        guard mismatches > 0, let first = worstElement else { return distance }
        return distance + " and \(mismatches) value\(mismatches == 1 ? "" : "s") not finite on one side, the first at element \(first)"
    }

    /// Takes one pair of elements into account; `grid` is the format in which distances are counted.
    package mutating func add(reference: Double, other: Double, grid: UnitsInLastPlace) {
        defer { count += 1 }
        guard reference.isFinite && other.isFinite else { return addNonfinite(reference, other) }
        referenceSquares += reference * reference
        otherSquares += other * other
        products += reference * other
        guard reference != other else { return }
        let difference = abs(other - reference)
        differenceSquares += difference * difference
        if difference > maxAbs {
            maxAbs = difference
            if mismatches == 0 { worstElement = count }
        }
        maxULP = max(maxULP, grid.distance(reference, other))
    }

    private mutating func addNonfinite(_ reference: Double, _ other: Double) {
        if reference.isNaN { referenceNaN += 1 } else if reference.isInfinite { referenceInfinite += 1 }
        if other.isNaN { otherNaN += 1 } else if other.isInfinite { otherInfinite += 1 }
        guard !(reference.isNaN && other.isNaN), reference != other else { return }
        if mismatches == 0 { worstElement = count }
        mismatches += 1
    }

    /// The metrics of two tensors with equal shapes, over the rows of the last axis for which `keep` is true (all, where it is nil).
    /// - Precondition: equal element counts, element types with a value (no 8-bit floats), and one `keep` per row.
    package init(reference: EncodedTensor, other: EncodedTensor, keep: [Bool]? = nil) {
        precondition(reference.shape.elementCount == other.shape.elementCount, "\(reference.shape) against \(other.shape)")
        let width = reference.shape.extents.last ?? 1
        let rows = width == 0 ? 0 : reference.shape.elementCount / width
        precondition(keep == nil || keep?.count == rows, "\(keep?.count ?? 0) rows in the mask of \(reference.shape)")
        let grid = UnitsInLastPlace(coarserOf: reference.dtype, other.dtype)
        if keep == nil {
            addRange(0..<reference.shape.elementCount, reference, other, grid)
        } else {
            for row in 0..<rows where keep?[row] == true { addRange(row * width..<(row + 1) * width, reference, other, grid) }
        }
    }

    /// The metrics of two float32 tensors with equal element counts.
    package init(reference: Tensor, other: Tensor) {
        self.init(reference: EncodedTensor(reference), other: EncodedTensor(other).seen(as: reference.shape))
    }

    private mutating func addRange(_ range: Range<Int>, _ reference: EncodedTensor, _ other: EncodedTensor, _ grid: UnitsInLastPlace) {
        // Blocks that stay in the first-level cache: one conversion loop per element type, one loop that measures.
        let block = 1024
        var left = [Double](repeating: 0, count: block)
        var right = left
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(start + block, range.upperBound)
            reference.widen(start..<end, into: &left)
            other.widen(start..<end, into: &right)
            for index in 0..<end - start { add(reference: left[index], other: right[index], grid: grid) }
            start = end
        }
    }
}

extension EncodedTensor {
    /// The same elements under another shape with as many elements.
    fileprivate func seen(as shape: Shape) -> EncodedTensor { EncodedTensor(dtype: dtype, shape: shape, buffer: buffer) }
}
