import Glibc
package import Tensors

/// How far the decoded values of a tensor are from their source, in float32 after folding.
package struct QuantizationError: Sendable, Equatable {
    /// |decoded - source| / |source|, Euclidean; 0 where both are zero.
    package let relativeL2: Double
    /// The largest |decoded - source|.
    package let maxAbs: Double
    /// Signal to quantization noise in dB; nil where the values are exact.
    ///
    /// Not stored: logarithms differ in their last bits from one C library to the next.
    package var sqnr: Double? { relativeL2 > 0 ? -20 * log10(relativeL2) : nil }

    package init(relativeL2: Double, maxAbs: Double) {
        self.relativeL2 = relativeL2
        self.maxAbs = maxAbs
    }
}

/// Gathers the quantization error of a tensor that comes in runs of rows.
///
/// Sums go first along each row, then over the rows, both in order: the result depends neither on threads nor on the runs.
package struct QuantizationErrorSum: Sendable {
    private var noise = 0.0
    private var signal = 0.0
    private var maxAbs = 0.0

    package init() {}

    /// Adds rows. Values whose source is no finite number count for nothing.
    /// - Precondition: equal shapes.
    package mutating func add(decoded: Tensor, source: Tensor) {
        precondition(decoded.shape == source.shape)
        let columns = source.shape.columns
        let left = decoded.span
        let right = source.span
        for row in 0..<source.shape.rows {
            var rowNoise = 0.0
            var rowSignal = 0.0
            for index in row * columns..<(row + 1) * columns where right[index].isFinite {
                let value = Double(right[index])
                let difference = (Double(left[index]) - value).magnitude
                rowNoise += difference * difference
                rowSignal += value * value
                maxAbs = max(maxAbs, difference)
            }
            noise += rowNoise
            signal += rowSignal
        }
    }

    package var result: QuantizationError {
        QuantizationError(relativeL2: noise == 0 ? 0 : (noise / signal).squareRoot(), maxAbs: maxAbs)
    }
}
