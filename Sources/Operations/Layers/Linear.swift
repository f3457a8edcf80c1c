import CKernels
package import Tensors

/// y = x W^T + b, for a weight of any scheme.
///
/// 16-bit and weight-only int8 weights are decoded panel by panel into a small scratch right before the product that uses them; schemes
/// that no kernel knows are decoded when they are loaded. Weights with `int8PerToken` activations compute in integers, by the
/// integer contract of Formats/schemes.md. With `Compute.bfloat16` and `.float16` the others are rounded when they are loaded.
package struct Linear: Sendable {
    let cpu: CPU
    let outputs: Int
    let inputs: Int
    let weight: Storage
    /// Of int8 products, what is done with the inputs first.
    let inputTurn: InputTurn?
    let bias: Tensor?
    /// Of its weight.
    let name: String
    /// How rows are to be packed for this weight; nil where another kernel multiplies it.
    let rowType: PackedType?

    enum Storage: Sendable {
        case float32(Tensor)
        case half(EncodedTensor)
        /// int8 values and their scales, decoded for float arithmetic.
        case decoded(EncodedTensor, Tensor)
        /// int8 values in the panels of the integer kernel for CPUs without AVX-512, and their scales.
        case integer(Buffer, Tensor)
        /// Panels of the packed products: int8 with its scales, or bfloat16.
        case packed(PackedType, Buffer, Tensor?)
    }

    /// Bytes of decoded weights that are held at once.
    static let panelBytes = 4 << 20

    var isa: CInt { cpu.isa }

    /// - Parameters:
    ///   - stored: rows are outputs; all further axes together are inputs.
    package init(_ stored: StoredWeight, bias: Tensor? = nil, compute: Compute = .float32, on cpu: CPU) throws(MachineError) {
        try self.init(stored, 0..<stored.shape.rows, bias: bias, compute: compute, on: cpu)
    }

    /// The linear of some of the outputs of a weight.
    init(
        _ whole: StoredWeight, _ channels: Range<Int>, bias: Tensor?, compute: Compute = .float32, on cpu: CPU
    ) throws(MachineError) {
        let (outputs, inputs) = (channels.count, whole.shape.columns)
        precondition(bias.map { $0.count == outputs } ?? true)
        self.cpu = cpu
        self.outputs = outputs
        self.inputs = inputs
        self.bias = bias
        name = whole.name
        let panels = Self.panelType(whole.form, compute, cpu)
        rowType = Self.rowType(whole.form, compute, cpu)
        guard whole.form.multipliesIntegers, let rows = try whole.integerRows() else {
            inputTurn = nil
            weight =
                if let panels { .packed(panels, try Self.panels(of: Storage(whole), channels, inputs, cpu.isa), nil) } else {
                    compute == .float16 ? .half(try whole.rows(channels).roundedToFloat16()) : try Storage(try whole.rows(channels))
                }
            return
        }
        let scales = Tensor(sharing: try rows.scales.rows(channels))
        inputTurn = try whole.inputTurn()
        weight =
            if let panels { .packed(panels, try Self.panels(ofCodes: rows.codes, channels, cpu.isa), scales) } else {
                .integer(try Self.packed(cpu.isa, rows.codes.rows(channels), outputs: outputs, inputs: inputs), scales)
            }
    }

    private static func packed(_ isa: CInt, _ values: EncodedTensor, outputs: Int, inputs: Int) throws(MachineError) -> Buffer {
        let packed = try Buffer(byteCount: ck_w8a8_packed_bytes(isa, outputs, inputs), zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: values.bytes.bindMemory(to: Int8.self).baseAddress!), SharedPointer(packed.int8))
        Parallel.forEach(outputs, grain: ck_w8a8_panel(isa)) { range in
            let offset = ck_w8a8_packed_bytes(isa, range.lowerBound, inputs)
            unsafe ck_w8a8_pack(isa, source.pointer + range.lowerBound * inputs, range.count, inputs, target.pointer + offset)
        }
        return packed
    }

    /// x [.., inputs] to [.., outputs]; a matrix is `[rows, inputs]`, a map `[h, w, inputs]`.
    package func callAsFunction(_ x: Tensor) throws(MachineError) -> Tensor {
        var result = try Tensor(Shape(x.shape.extents.dropLast() + [outputs]), zeroed: false)
        defer { withExtendedLifetime((x, result)) {} }
        unsafe try apply(x.pointer, rows: x.count / inputs, to: result.mutablePointer, stride: outputs)
        return result
    }

    /// Writes the outputs of `rows` dense rows of inputs to rows of `stride` elements.
    @unsafe func apply(_ x: UnsafePointer<Float>, rows: Int, to y: UnsafeMutablePointer<Float>, stride: Int) throws(MachineError) {
        if case .decoded(let values, let scales) = weight, rows <= Self.fewRows { return unsafe multiplyFew(x, rows, values, scales, y, stride) }
        if let type = rowType, rows > 1 || type != .float32 {
            return try unsafe multiply(try PackedRows(x, rows: rows, columns: inputs, as: type, inputTurn, for: name, on: cpu), to: y, stride: stride)
        }
        if case .integer(let packed, let scales) = weight { return try unsafe multiplyIntegers(x, rows, packed, scales, y, stride) }
        if rows == 1 { return unsafe try multiplyOne(x, y) }
        if let bias {
            let (source, target) = unsafe (SharedPointer(reading: bias.pointer), SharedPointer(y))
            Parallel.forEach(rows, grain: 16) { range in
                for row in range { unsafe (target.pointer + row * stride).update(from: source.pointer, count: outputs) }
            }
        }
        let beta: Float = bias == nil ? 0 : 1
        if case .float32(let tensor) = weight { return unsafe Self.multiply(x, rows, tensor.pointer, outputs, inputs, y, stride, beta) }
        let panel = Self.decodedChannels(outputs, inputs)
        var scratch = try Tensor([panel, inputs], zeroed: false)
        defer { withExtendedLifetime(scratch) {} }
        for start in Swift.stride(from: 0, to: outputs, by: panel) {
            let count = min(panel, outputs - start)
            let target = unsafe SharedPointer(scratch.mutablePointer)
            Parallel.forEach(count, grain: 8) { range in
                let channels = start + range.lowerBound..<start + range.upperBound
                unsafe weight.decode(channels, inputs, into: target.pointer + range.lowerBound * inputs, isa)
            }
            unsafe Self.multiply(x, rows, scratch.pointer, count, inputs, y + start, stride, beta)
        }
    }

    /// y = x W^T + beta * y.
    @unsafe private static func multiply(
        _ x: UnsafePointer<Float>, _ rows: Int, _ weight: UnsafePointer<Float>, _ outputs: Int, _ inputs: Int, _ y: UnsafeMutablePointer<Float>, _ stride: Int,
        _ beta: Float
    ) {
        unsafe BLAS.multiply(x, lda: inputs, weight, ldb: inputs, transposed: true, into: y, ldc: stride, m: rows, n: outputs, k: inputs, beta: beta)
    }

    /// A single row, as the embeddings of time and guidance are, is summed in double: it waits for memory anyway, and its sums of a few hundred
    /// cosines cancel so much that float32 sums would show in everything they modulate. Each thread decodes what it is about to multiply.
    @unsafe private func multiplyOne(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) throws(MachineError) {
        if let bias { unsafe y.update(from: bias.pointer, count: outputs) }
        let step = Self.cachedChannels(inputs)
        let (source, target) = unsafe (SharedPointer(reading: x), SharedPointer(y))
        try unsafe Parallel.forEach(outputs, grain: 16, scratchBytes: step * inputs * MemoryLayout<Float>.stride) { range, scratch in
            let decoded = unsafe scratch.assumingMemoryBound(to: Float.self)
            for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: step) {
                let channels = start..<min(start + step, range.upperBound)
                var factors = unsafe UnsafePointer<Float>(decoded)
                if case .float32(let tensor) = weight {
                    unsafe factors = tensor.pointer + start * inputs
                } else {
                    unsafe weight.decode(channels, inputs, into: decoded, isa)
                }
                unsafe ck_row_product(isa, source.pointer, factors, target.pointer + start, channels.count, inputs, bias != nil)
            }
        }
    }

    /// Up to so many rows int8 weights are multiplied as they are, read once; beyond, decoding them for packed products or BLAS pays.
    static let fewRows = Int(CK_W8A32_ROWS)

    /// Whether so many rows are multiplied as they are, whatever `rowType` says.
    func takesDenseRows(_ rows: Int) -> Bool {
        if case .decoded = weight { return rows <= Self.fewRows }
        return false
    }

    /// Channels that a product by BLAS decodes at a time.
    static func decodedChannels(_ outputs: Int, _ inputs: Int) -> Int {
        min(outputs, max(1, panelBytes / (inputs * MemoryLayout<Float>.stride)))
    }

    /// Decoded channels that stay in the first-level cache.
    static func cachedChannels(_ inputs: Int) -> Int { max(1, 4096 / inputs) }

    @unsafe private func multiplyFew(
        _ x: UnsafePointer<Float>, _ rows: Int, _ values: EncodedTensor, _ scales: Tensor, _ y: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        let (source, target) = unsafe (SharedPointer(reading: x), SharedPointer(y))
        defer { withExtendedLifetime((values, scales)) {} }
        Parallel.forEach(outputs, grain: 4 * Int(CK_W8A32_CHANNELS)) { range in
            let first = range.lowerBound
            unsafe ck_w8a32_linear(
                isa, source.pointer, inputs, values.bytes.baseAddress! + first * inputs, scales.pointer + first, bias.map { unsafe $0.pointer + first },
                target.pointer + first, stride, rows, range.count, inputs)
        }
    }

    /// Quantizes each row of x to int8 and multiplies with int32 accumulators: y = fma(s_x * s_w, accumulator, b).
    private func multiplyIntegers(
        _ x: UnsafePointer<Float>, _ rows: Int, _ packed: Buffer, _ scales: Tensor, _ y: UnsafeMutablePointer<Float>, _ stride: Int
    ) throws(MachineError) {
        // Rows turned for a weight that is.
        var turned = try Tensor([inputTurn == nil ? 0 : rows, inputs], zeroed: false)
        let quantized = try Buffer(byteCount: rows * inputs, zeroed: false)
        var rowScales = try Tensor([rows], zeroed: false)
        // The kernels know them by their addresses alone, which does not keep them.
        defer { withExtendedLifetime((quantized, rowScales, turned)) {} }
        let (source, target) = unsafe (SharedPointer(reading: x), SharedPointer(y))
        let turnedRows = unsafe SharedPointer(turned.mutablePointer)
        let (values, factors) = unsafe (SharedPointer(quantized.int8), SharedPointer(rowScales.mutablePointer))
        Parallel.forEach(rows, grain: Int(CK_W8A8_ROWS)) { range in
            let row = range.lowerBound
            let (q, s) = unsafe (values.pointer + row * inputs, factors.pointer + row)
            var from = unsafe source.pointer + row * inputs
            if let inputTurn {
                let place = unsafe turnedRows.pointer + row * inputs
                unsafe inputTurn.apply(from, to: place, rows: range.count, columns: inputs, isa)
                unsafe from = place
            }
            unsafe ck_quantize_rows_s8(isa, from, inputs, q, s, range.count, inputs)
            unsafe ck_w8a8_linear(
                isa,
                ck_w8a8(
                    q: q, sx: s, packed: packed.bytes.baseAddress!, sw: scales.pointer, bias: bias?.pointer, y: target.pointer + row * stride, ldy: stride,
                    m: range.count, n: outputs, k: inputs))
        }
    }
}

extension Linear.Storage {
    /// The weight for arithmetic in floating point.
    init(_ stored: StoredWeight) throws(MachineError) {
        if stored.form == .half {
            self = .half(stored.planes[0])
        } else if stored.form == .scaledRows, let rows = try stored.integerRows() {
            self = .decoded(rows.codes, Tensor(sharing: rows.scales))
        } else {
            self = .float32(try stored.floats())
        }
    }

    /// Rows `channels` of a weight as float32, dense.
    func decode(_ channels: Range<Int>, _ inputs: Int, into out: UnsafeMutablePointer<Float>, _ isa: CInt) {
        let (first, count) = (channels.lowerBound * inputs, channels.count * inputs)
        switch self {
        case .float32(let tensor): unsafe out.update(from: tensor.pointer + first, count: count)
        case .half(let tensor):
            let source = unsafe tensor.bytes.baseAddress! + first * 2
            if tensor.dtype == .bf16 { unsafe ck_bf16_to_f32(isa, source, out, count) } else { unsafe ck_f16_to_f32(isa, source, out, count) }
        case .decoded(let values, let scales):
            let rowScales = unsafe scales.pointer + channels.lowerBound
            unsafe ck_dequantize_rows_s8(isa, values.bytes.baseAddress! + first, rowScales, out, inputs, channels.count, inputs)
        case .integer, .packed: preconditionFailure("is never decoded")
        }
    }
}

extension Buffer {
    @unsafe fileprivate var int8: UnsafeMutablePointer<Int8> { unsafe mutableBytes.baseAddress!.assumingMemoryBound(to: Int8.self) }
}
