import CKernels
package import Tensors

/// A dense 3x3 convolution with padding 1 over channels-last maps.
///
/// Floating-point weights, and int8 ones with float activations, compute in float32. Weights with `int8PerToken` activations
/// compute in integers with a scale for each pixel, by the integer contract of Formats/schemes.md.
package struct Convolution: Sendable {
    package let outputs: Int
    package let inputs: Int
    /// In the panels of the kernel.
    private let packed: Buffer
    /// Of the output channels; nil in float32.
    private let scales: Tensor?
    private let bias: Tensor?

    package enum Sampling: Sendable {
        case same
        /// Every second output row and column.
        case stride2
        /// The input is first doubled in both directions by repetition (nearest interpolation).
        case upsampled
    }

    /// - Parameter stored: `[outputs, 3, 3, inputs]`; floating point of 16 bits or more, or int8.
    package init(_ stored: StoredWeight, bias: Tensor? = nil) throws(AllocationError) {
        let (outputs, inputs) = (stored.shape.rows, stored.shape.columns / 9)
        precondition(stored.shape.columns % 9 == 0 && bias.map { $0.count == outputs } ?? true)
        (self.outputs, self.inputs, self.bias) = (outputs, inputs, bias)
        switch stored {
        case .int8PerChannel(let values, let scales, .int8PerToken):
            packed = unsafe try Self.packed(values, outputs, bytes: { ck_conv_i8_packed_bytes(isa, $0, inputs) }) {
                unsafe ck_conv_i8_pack(isa, $0, $1, inputs, $2)
            }
            self.scales = scales
        case .int8PerChannel(let values, let scales, .float):
            packed = try Self.packed(floats: try values.scaledRows(by: scales), outputs, inputs)
            self.scales = nil
        case .int8Rotated:
            packed = try Self.packed(floats: try stored.widened(), outputs, inputs)
            self.scales = nil
        case .plain(let tensor):
            packed = try Self.packed(floats: tensor.dtype == .f32 ? Tensor(sharing: tensor) : try tensor.widened(), outputs, inputs)
            self.scales = nil
        }
    }

    var isInteger: Bool { scales != nil }

    private static func packed(floats: Tensor, _ outputs: Int, _ inputs: Int) throws(AllocationError) -> Buffer {
        unsafe try packed(EncodedTensor(floats), outputs, bytes: { ck_conv_f32_packed_bytes(isa, $0, inputs) }) {
            unsafe ck_conv_f32_pack(isa, $0, $1, inputs, $2)
        }
    }

    /// Packs ranges of output channels on all cores.
    private static func packed(
        _ weights: EncodedTensor, _ outputs: Int, bytes: @Sendable (Int) -> Int,
        _ pack: @Sendable (UnsafeRawPointer, _ channels: Int, UnsafeMutableRawPointer) -> Void
    ) throws(AllocationError) -> Buffer {
        let packed = try Buffer(byteCount: bytes(outputs), zeroed: false)
        let row = weights.shape.columns * weights.dtype.byteCount
        Parallel.forEach(outputs, grain: ck_conv_panel(isa)) { range in
            unsafe pack(
                weights.bytes.baseAddress! + range.lowerBound * row, range.count, packed.mutableBytes.baseAddress! + bytes(range.lowerBound))
        }
        return packed
    }

    /// x [h, w, in] to [h', w', out]: h' = h, ceil(h / 2) or 2h.
    package func callAsFunction(_ x: Tensor, _ sampling: Sampling = .same) throws(AllocationError) -> Tensor {
        switch sampling {
        case .same: try RowChain.apply([.convolution(self)], to: x)
        case .stride2: try RowChain.apply([.convolution(self, step: 2)], to: x)
        case .upsampled: try RowChain.apply([.doubling(self, shortcut: false)], to: x)
        }
    }

    /// Pixels of the output row `row`, whose first pixel is at `y`.
    @unsafe func apply(_ input: RowRing, row: Int, step: Int, columns: Range<Int>, to y: UnsafeMutablePointer<Float>) {
        let (pixels, factors) = unsafe input.lines(row * step - 1..<row * step + 2, quantized: isInteger)
        if let scales {
            unsafe ck_conv_i8(
                isa, pixels, factors, step, columns.lowerBound, columns.upperBound, inputs, outputs, packed.bytes.baseAddress!, scales.pointer, bias?.pointer,
                y)
        } else {
            unsafe ck_conv_f32(
                isa, pixels, step, columns.lowerBound, columns.upperBound, inputs, outputs, packed.bytes.baseAddress!, bias?.pointer, y)
        }
    }

    /// The output pixels of input pixels in `rows` (at most CK_UPCONV_MAX_ROWS) and `columns`, of an input doubled by repetition.
    @unsafe func applyDoubled(_ input: RowRing, rows: Range<Int>, columns: Range<Int>, to output: RowRing) {
        let (pixels, factors) = unsafe input.lines(rows.lowerBound - 1..<rows.upperBound + 1, quantized: isInteger)
        let targets: [UnsafeMutableRawPointer?] = unsafe (2 * rows.lowerBound..<2 * rows.upperBound).map { unsafe UnsafeMutableRawPointer(output.pixel($0, 0)) }
        if let scales {
            unsafe ck_upconv_i8(
                isa, pixels, factors, rows.count, columns.lowerBound, columns.upperBound, inputs, outputs, packed.bytes.baseAddress!, scales.pointer,
                bias?.pointer, targets)
        } else {
            unsafe ck_upconv_f32(
                isa, pixels, rows.count, columns.lowerBound, columns.upperBound, inputs, outputs, packed.bytes.baseAddress!, bias?.pointer, targets)
        }
    }
}
