import CKernels
package import Tensors

/// A dense 3x3 convolution with padding 1 over channels-last maps.
///
/// Weights with float activations compute in float32. Weights with `int8PerToken` activations
/// compute in integers with a scale for each pixel, by the integer contract of Formats/schemes.md. In float32 `Sampling.same` can take
/// Winograd's algorithm, which multiplies less than half as much and holds 16/9 of the weights.
package struct Convolution: Sendable {
    private let cpu: CPU
    let outputs: Int
    let inputs: Int
    /// In the panels of the kernel.
    private let packed: Buffer
    /// Of the output channels; nil in float32.
    private let scales: Tensor?
    private let bias: Tensor?
    /// Whether `packed` holds transformed weights.
    let isWinograd: Bool

    package enum Sampling: Sendable {
        case same
        /// Every second output row and column.
        case stride2
        /// The input is first doubled in both directions by repetition (nearest interpolation).
        case upsampled
    }

    /// - Parameters:
    ///   - stored: `[outputs, 3, 3, inputs]`.
    ///   - winograd: for `Sampling.same` alone; without effect where the convolution computes in integers.
    package init(_ stored: StoredWeight, bias: Tensor? = nil, winograd: Bool = false, on cpu: CPU) throws(MachineError) {
        let isa = cpu.isa
        self.cpu = cpu
        let (outputs, inputs) = (stored.shape.rows, stored.shape.columns / 9)
        precondition(stored.shape.columns % 9 == 0 && bias.map { $0.count == outputs } ?? true)
        (self.outputs, self.inputs, self.bias) = (outputs, inputs, bias)
        if Self.multipliesIntegers(stored.form), let rows = try stored.integerRows() {
            packed = unsafe try Self.packed(isa, rows.codes, outputs, bytes: { ck_conv_i8_packed_bytes(isa, $0, inputs) }) {
                unsafe ck_conv_i8_pack(isa, $0, $1, inputs, $2)
            }
            (scales, isWinograd) = (Tensor(sharing: rows.scales), false)
        } else {
            packed = try Self.packed(isa, floats: stored.floats(), outputs, inputs, winograd)
            (scales, isWinograd) = (nil, winograd)
        }
    }

    /// Whether weights of a form are multiplied in integers.
    package static func multipliesIntegers(_ form: KernelForm) -> Bool { form == .integers(turn: 1) }

    /// What the convolution of a weight takes: in float32 it is packed from values that are made for that.
    static func footprint(of weight: WeightSize, winograd: Bool, on cpu: CPU) -> Footprint {
        let (outputs, inputs) = (weight.shape.rows, weight.shape.columns / 9)
        if multipliesIntegers(weight.form) {
            return Footprint(
                kept: Memory.byteCount(of: ck_conv_i8_packed_bytes(cpu.isa, outputs, inputs)) + Tensor.byteCount(outputs),
                passing: weight.planeBytes + weight.expandedBytes)
        }
        let bytes = winograd ? ck_winograd_packed_bytes(cpu.isa, outputs, inputs) : ck_conv_f32_packed_bytes(cpu.isa, outputs, inputs)
        return Footprint(kept: Memory.byteCount(of: bytes), passing: weight.widenedBytes)
    }

    private var isa: CInt { cpu.isa }

    var isInteger: Bool { scales != nil }

    private static func packed(_ isa: CInt, floats: Tensor, _ outputs: Int, _ inputs: Int, _ winograd: Bool) throws(MachineError) -> Buffer {
        guard winograd else {
            return unsafe try packed(isa, EncodedTensor(floats), outputs, bytes: { ck_conv_f32_packed_bytes(isa, $0, inputs) }) {
                unsafe ck_conv_f32_pack(isa, $0, $1, inputs, $2)
            }
        }
        return unsafe try packed(isa, EncodedTensor(floats), outputs, bytes: { ck_winograd_packed_bytes(isa, $0, inputs) }) {
            unsafe ck_winograd_pack(isa, $0, $1, inputs, $2)
        }
    }

    /// Packs ranges of output channels on all cores.
    private static func packed(
        _ isa: CInt, _ weights: EncodedTensor, _ outputs: Int, bytes: @Sendable (Int) -> Int,
        _ pack: @Sendable (UnsafeRawPointer, _ channels: Int, UnsafeMutableRawPointer) -> Void
    ) throws(MachineError) -> Buffer {
        let packed = try Buffer(byteCount: bytes(outputs), zeroed: false)
        let row = weights.shape.columns * weights.dtype.byteCount
        // Few outputs have panels of their own: what is left behind whole panels is not packed by itself.
        let panel = ck_conv_panel(isa)
        Parallel.forEach(outputs, grain: outputs % panel == 0 ? panel : outputs) { range in
            unsafe pack(
                weights.bytes.baseAddress! + range.lowerBound * row, range.count, packed.mutableBytes.baseAddress! + bytes(range.lowerBound))
        }
        return packed
    }

    /// x [h, w, in] to [h', w', out]: h' = h, ceil(h / 2) or 2h.
    package func callAsFunction(_ x: Tensor, _ sampling: Sampling = .same) throws(MachineError) -> Tensor {
        switch sampling {
        case .same: try cpu.run([.convolution(self)], on: x)
        case .stride2: try cpu.run([.convolution(self, step: 2)], on: x)
        case .upsampled: try cpu.run([.doubling(self, shortcut: false)], on: x)
        }
    }

    /// Pixels of the output row `row`, whose first pixel is at `y`.
    @unsafe func apply(_ input: RowRing, row: Int, step: Int, columns: Range<Int>, to y: UnsafeMutablePointer<Float>) {
        precondition(!isWinograd)
        let (pixels, factors) = unsafe input.lines(row * step - 1..<row * step + 2, quantized: isInteger)
        unsafe ck_conv(isa, weights, pixels, factors, step, columns.lowerBound, columns.upperBound, y)
    }

    @unsafe private var weights: ck_conv_weights {
        unsafe ck_conv_weights(c: inputs, n: outputs, packed: packed.bytes.baseAddress!, sw: scales?.pointer, bias: bias?.pointer)
    }

    /// Bytes of scratch that a thread needs for `applyWinograd`.
    static func scratchBytes(_ inputs: Int) -> Int { ck_winograd_scratch_bytes(inputs) }

    /// Pixels of one or two output rows, of which the first has an even number.
    @unsafe func applyWinograd(_ input: RowRing, rows: Range<Int>, columns: Range<Int>, to output: RowRing, scratch: UnsafeMutableRawPointer) {
        precondition(isWinograd && rows.lowerBound % 2 == 0)
        let (pixels, _) = unsafe input.lines(rows.lowerBound - 1..<rows.lowerBound + 3, quantized: false)
        let targets: [UnsafeMutableRawPointer?] = unsafe (0..<2).map {
            unsafe $0 < rows.count ? UnsafeMutableRawPointer(output.pixel(rows.lowerBound + $0, 0)) : nil
        }
        unsafe ck_winograd(isa, weights, pixels, input.width, columns.lowerBound, columns.upperBound, targets, scratch)
    }

    /// The output pixels of input pixels in `rows` (at most CK_UPCONV_MAX_ROWS) and `columns`, of an input doubled by repetition.
    @unsafe func applyDoubled(_ input: RowRing, rows: Range<Int>, columns: Range<Int>, to output: RowRing) {
        precondition(!isWinograd)
        let (pixels, factors) = unsafe input.lines(rows.lowerBound - 1..<rows.upperBound + 1, quantized: isInteger)
        let targets: [UnsafeMutableRawPointer?] = unsafe (2 * rows.lowerBound..<2 * rows.upperBound).map { unsafe UnsafeMutableRawPointer(output.pixel($0, 0)) }
        unsafe ck_upconv(isa, weights, pixels, factors, rows.count, columns.lowerBound, columns.upperBound, targets)
    }
}
