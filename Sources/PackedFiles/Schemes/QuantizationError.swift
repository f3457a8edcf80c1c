internal import CKernels
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

/// Of one row: what the quantization error of its tensor is made of.
package struct RowDistance: Sendable, Equatable {
    /// The sum of (decoded - source)^2.
    var noise = 0.0
    /// The sum of source^2.
    var signal = 0.0
    /// The largest |decoded - source|.
    var maxAbs = 0.0

    /// The distance of each row of two tensors of one shape. Values whose source is no finite number count for nothing.
    static func rows(decoded: Tensor, source: Tensor) -> [RowDistance] {
        unsafe rows(source.rows) {
            unsafe ck_distance_rows(InstructionSet.forConversions.rawValue, decoded.pointer, source.pointer, $0, source.rows, source.columns)
        }
    }

    /// Rows that a kernel fills as f64 `[count, 3]`.
    @unsafe static func rows(_ count: Int, _ kernel: (UnsafeMutableRawPointer?) -> Void) -> [RowDistance] {
        var rows = [RowDistance](repeating: RowDistance(), count: count)
        unsafe rows.withUnsafeMutableBytes { unsafe kernel($0.baseAddress) }
        return rows
    }
}

/// Gathers the quantization error of a tensor that comes in runs of rows.
///
/// Sums go first along each row, in the order of the kernel, then over the rows: the result depends neither on threads, nor on the runs, nor on the CPU.
package struct QuantizationErrorSum: Sendable {
    private var sum = RowDistance()

    package init() {}

    /// Adds rows. Values whose source is no finite number count for nothing.
    /// - Precondition: equal shapes.
    package mutating func add(decoded: Tensor, source: Tensor) {
        precondition(decoded.shape == source.shape)
        add(RowDistance.rows(decoded: decoded, source: source))
    }

    /// Adds the next rows.
    package mutating func add(_ rows: [RowDistance]) {
        for row in rows {
            sum.noise += row.noise
            sum.signal += row.signal
            sum.maxAbs = max(sum.maxAbs, row.maxAbs)
        }
    }

    package var result: QuantizationError {
        QuantizationError(relativeL2: sum.noise == 0 ? 0 : (sum.noise / sum.signal).squareRoot(), maxAbs: sum.maxAbs)
    }
}
