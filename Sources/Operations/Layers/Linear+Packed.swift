import CKernels
import Tensors

/// Products through the packed kernels (CKProducts.h): both operands in the order in which the inner loop reads them.
extension Linear {
    /// The panels that a weight of a form is kept in; nil where it is kept otherwise.
    static func panelType(_ form: KernelForm, _ compute: Compute, _ cpu: CPU) -> PackedType? {
        form.multipliesIntegers ? cpu.prefersPackedProducts ? .int8 : nil : compute == .bfloat16 ? .bfloat16 : nil
    }

    /// How rows are packed for a weight of a form.
    static func rowType(_ form: KernelForm, _ compute: Compute, _ cpu: CPU) -> PackedType? {
        panelType(form, compute, cpu) ?? (compute == .float16 && !form.multipliesIntegers ? .float16 : cpu.prefersPackedProducts ? .float32 : nil)
    }

    /// What follows a product, done while its outputs are in the cache.
    @unsafe struct Epilogue: @unchecked Sendable {  // its pointers are written through by disjoint ranges
        var silu = false
        /// Rows that the outputs, times the gates `[outputs]`, are added to; then nothing is left where outputs else go.
        var residual: UnsafeMutablePointer<Float>?
        var gate: UnsafePointer<Float>?
    }

    /// Channels that one thread works on at a time.
    private static let group = 6 * PackedRows.panel
    /// Up to so many channels threads share out the rows.
    private static let fewChannels = 2 * PackedRows.panel

    /// Writes the outputs of packed rows to rows of `stride` elements; residual rows are as far apart.
    @unsafe func multiply(
        _ rows: PackedRows, to y: UnsafeMutablePointer<Float>, stride: Int, _ epilogue: Epilogue = unsafe Epilogue()
    ) throws(MachineError) {
        let target = unsafe SharedPointer(y)
        guard outputs > Self.fewChannels else {
            let scratch = try Buffer(byteCount: scratchBytes(channels: outputs), zeroed: false)
            let panels = unsafe SharedPointer(reading: panels(0..<outputs, scratch: scratch.mutableBytes.baseAddress!).assumingMemoryBound(to: UInt8.self))
            Parallel.forEach(rows.count, grain: PackedRows.tile) { range in
                unsafe multiply(rows, range, panels.pointer, 0..<outputs, to: target.pointer, stride: stride, epilogue)
            }
            return withExtendedLifetime(scratch) {}
        }
        try unsafe Parallel.forEach(outputs, grain: PackedRows.panel, scratchBytes: scratchBytes(channels: Self.group)) { range, scratch in
            for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: Self.group) {
                let channels = start..<min(start + Self.group, range.upperBound)
                let panels = unsafe panels(channels, scratch: scratch)
                unsafe multiply(rows, 0..<rows.count, panels, channels, to: target.pointer + start, stride: stride, epilogue)
            }
        }
    }

    /// Some channels of some rows: `y` is where the first of these channels of row 0 goes.
    /// - Parameter range: starts at a multiple of `PackedRows.tile`.
    @unsafe func multiply(
        _ rows: PackedRows, _ range: Range<Int>, _ panels: UnsafeRawPointer, _ channels: Range<Int>, to y: UnsafeMutablePointer<Float>, stride: Int,
        _ epilogue: Epilogue = unsafe Epilogue()
    ) {
        precondition(rows.columns == inputs && rows.type == rowType)
        let (start, values) = unsafe (channels.lowerBound, rows.tile(at: range.lowerBound))
        var product = unsafe ck_product()
        unsafe product.type = rows.type.code
        unsafe product.rows = values.values
        unsafe product.sx = UnsafeRawPointer(values.scales)
        unsafe product.weights = panels
        if case .packed(_, _, let scales?) = weight { unsafe product.sw = UnsafeRawPointer(scales.pointer + start) }
        if let bias { unsafe product.bias = UnsafeRawPointer(bias.pointer + start) }
        unsafe product.silu = epilogue.silu
        let first = range.lowerBound * stride
        unsafe product.y = UnsafeMutableRawPointer(y + first)
        unsafe product.ldy = stride
        if let residual = unsafe epilogue.residual { unsafe product.residual = UnsafeMutableRawPointer(residual + first + start) }
        unsafe product.ldr = stride
        if let gate = unsafe epilogue.gate { unsafe product.gate = UnsafeRawPointer(gate + start) }
        unsafe (product.m, product.n, product.k) = (range.count, channels.count, inputs)
        unsafe ck_packed_product(isa, &product)
    }

    /// Scratch that `panels` needs for so many channels.
    func scratchBytes(channels: Int) -> Int { Self.scratchBytes(rowType, channels, inputs) }

    static func scratchBytes(_ rowType: PackedType?, _ channels: Int, _ inputs: Int) -> Int {
        guard rowType?.decodesPanels ?? false else { return 0 }
        return panelScratchBytes(inputs) + ck_packed_weight_bytes(CK_PACKED_F32, channels, inputs)
    }

    /// All scratch of a product.
    static func productBytes(_ rowType: PackedType?, _ outputs: Int, _ inputs: Int) -> Int {
        outputs > fewChannels
            ? Parallel.scratchBytes(outputs, each: scratchBytes(rowType, group, inputs)) : scratchBytes(rowType, outputs, inputs)
    }

    /// The panels of some channels, the first at a multiple of the panel: those that are kept, or float32 ones made in `scratch`.
    @unsafe func panels(_ channels: Range<Int>, scratch: UnsafeMutableRawPointer) -> UnsafeRawPointer {
        if case .packed(let type, let panels, _) = weight {
            return unsafe panels.bytes.baseAddress! + ck_packed_weight_bytes(type.code, channels.lowerBound, inputs)
        }
        if case .float32(let tensor) = weight {
            unsafe ck_pack_weights(isa, CK_PACKED_F32, tensor.pointer + channels.lowerBound * inputs, channels.count, inputs, scratch)
            return UnsafeRawPointer(scratch)
        }
        let step = PackedRows.panel
        let dense = unsafe scratch.assumingMemoryBound(to: Float.self)
        let target = unsafe scratch + step * inputs * MemoryLayout<Float>.stride
        for start in stride(from: channels.lowerBound, to: channels.upperBound, by: step) {
            let end = min(start + step, channels.upperBound)
            unsafe weight.decode(start..<end, inputs, into: dense, isa)
            let offset = ck_packed_weight_bytes(CK_PACKED_F32, start - channels.lowerBound, inputs)
            unsafe ck_pack_weights(isa, CK_PACKED_F32, dense, end - start, inputs, target + offset)
        }
        return UnsafeRawPointer(target)
    }

    /// The panels of some outputs of int8 codes.
    static func panels(ofCodes codes: EncodedTensor, _ channels: Range<Int>, _ isa: CInt) throws(MachineError) -> Buffer {
        let (outputs, inputs, first) = (channels.count, codes.shape.columns, channels.lowerBound)
        let buffer = try Buffer(byteCount: ck_packed_weight_bytes(CK_PACKED_S8, outputs, inputs), zeroed: false)
        Parallel.forEach(outputs, grain: PackedRows.panel) { range in
            let target = unsafe buffer.mutableBytes.baseAddress! + ck_packed_weight_bytes(CK_PACKED_S8, range.lowerBound, inputs)
            unsafe ck_pack_weights(isa, CK_PACKED_S8, codes.bytes.baseAddress! + (first + range.lowerBound) * inputs, range.count, inputs, target)
        }
        return buffer
    }

    /// A panel of a weight in float32.
    static func panelScratchBytes(_ inputs: Int) -> Int { PackedRows.panel * inputs * MemoryLayout<Float>.stride }

    /// The panels of some outputs of a weight, rounded to bfloat16.
    static func panels(of source: Storage, _ channels: Range<Int>, _ inputs: Int, _ isa: CInt) throws(MachineError) -> Buffer {
        let (outputs, first, type) = (channels.count, channels.lowerBound, PackedType.bfloat16)
        let buffer = try Buffer(byteCount: ck_packed_weight_bytes(type.code, outputs, inputs), zeroed: false)
        let step = PackedRows.panel
        try unsafe Parallel.forEach(outputs, grain: step, scratchBytes: panelScratchBytes(inputs)) { range, scratch in
            let dense = unsafe scratch.assumingMemoryBound(to: Float.self)
            for start in stride(from: range.lowerBound, to: range.upperBound, by: step) {
                let end = min(start + step, range.upperBound)
                unsafe source.decode(first + start..<first + end, inputs, into: dense, isa)
                let target = unsafe buffer.mutableBytes.baseAddress! + ck_packed_weight_bytes(type.code, start, inputs)
                unsafe ck_pack_weights(isa, type.code, dense, end - start, inputs, target)
            }
        }
        return buffer
    }
}

extension Linear {
    /// residual [rows, outputs] += gate * (x W^T + b), with a gate `[outputs]` or 1.
    func add(_ x: Tensor, to residual: inout Tensor, gate: Tensor? = nil) throws(MachineError) {
        precondition(residual.count / outputs == x.count / inputs)
        guard let type = rowType else {
            let update = try self(x)
            if let gate { cpu.add(update, to: &residual, gate: gate) } else { cpu.add(update, to: &residual) }
            return
        }
        let rows = try unsafe PackedRows(x.pointer, rows: x.count / inputs, columns: inputs, as: type, inputTurn, for: name, on: cpu)
        // Products of several blocks of k keep their sums here.
        var sums = try Tensor([rows.count, outputs], zeroed: false)
        let epilogue = unsafe Epilogue(residual: residual.mutablePointer, gate: gate?.pointer)
        unsafe try multiply(rows, to: sums.mutablePointer, stride: outputs, epilogue)
        withExtendedLifetime((residual, gate, sums)) {}
    }
}
