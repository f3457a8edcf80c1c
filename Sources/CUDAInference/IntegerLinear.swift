internal import CGPUKernels
internal import CUDADriver
package import Operations
internal import PackedFiles
package import Tensors

/// y = x W^T + b by the integer contract of Formats/schemes.md, for a weight of int8 codes on a device: the bits of the CPU.
package struct IntegerLinear: Sendable {
    let outputs: Int
    let inputs: Int
    /// Bytes of a row of codes, with zeros behind them.
    let pitch: Int
    let codes: Engine.Block
    let scales: Engine.Block
    let bias: Engine.Block?
    /// The largest block in which inputs are turned first; 1 where they are not.
    let turn: Int
    /// Powers of two for the inputs.
    let factors: Engine.Block?

    /// As kernels take it.
    var part: cg_part {
        cg_part(q: codes.address, s: scales.address, bias: bias?.address ?? 0, columns: cg_int(outputs), reserved: 0)
    }
}

extension Engine {
    /// Rows of int8 on the device are so many bytes.
    private static func pitch(_ inputs: Int) -> Int { (inputs + 63) / 64 * 64 }

    /// The linear of some of a weight's outputs; nil for a weight that the integer contract does not cover.
    package func integerLinear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?) throws(MachineError) -> IntegerLinear? {
        guard case .integers(let turn) = stored.form, let rows = try stored.integerRows() else { return nil }
        let (inputs, pitch) = (stored.shape.columns, Self.pitch(stored.shape.columns))
        precondition(bias.map { $0.count == outputs.count } ?? true)
        let codes = try take(outputs.count * pitch)
        try onDevice { () throws(DeviceError) in
            let place = codes.slice(outputs.count * pitch)
            try stream.fill(place, with: 0)
            let source = unsafe rows.codes.bytes
            defer { withExtendedLifetime(rows) {} }
            try unsafe uploads.upload(rows: outputs.count, of: inputs, to: place, pitch: pitch) { some, bytes in
                let first = outputs.lowerBound + some.lowerBound
                unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[first * inputs..<(first + some.count) * inputs]))
            }
        }
        let scales = Tensor(sharing: try rows.scales.rows(outputs))
        let factors = turn > 1 ? try stored.scheme.inputFactors(stored.planes) : nil
        return IntegerLinear(
            outputs: outputs.count, inputs: inputs, pitch: pitch, codes: codes, scales: try self.rows(from: scales).block,
            bias: try bias.map { bias throws(MachineError) in try self.rows(from: bias).block }, turn: turn,
            factors: try factors.map { factors throws(MachineError) in try self.rows(from: factors).block })
    }

    /// The outputs of linears of one input side by side, `[.., inputs]` to `[.., outputs of all]`, of x as it is or normed.
    /// - Precondition: the linears turn their inputs in the same way, by the same factors.
    package func multiply(
        _ x: DeviceRows, by parts: [IntegerLinear], norm: ModulatedNorm<DeviceRows>? = nil, then nonlinearity: Nonlinearity? = nil
    ) throws(MachineError) -> DeviceRows {
        let result = try fresh(Shape(x.shape.extents.dropLast() + [parts.reduce(0) { $0 + $1.outputs }]))
        let fused = if case .silu? = nonlinearity { true } else { false }
        try product(x, parts, norm, into: result, gate: nil, silu: fused, adds: false)
        guard let nonlinearity, !fused else { return result }
        return try activated(result, by: nonlinearity)
    }

    /// Updates residual += gate * linear(x), with a gate `[outputs]` or 1.
    package func add(_ x: DeviceRows, by linear: IntegerLinear, to residual: inout DeviceRows, gate: DeviceRows?) throws(MachineError) {
        precondition(residual.channels == linear.outputs && residual.rows == x.rows && gate.map { $0.count == linear.outputs } ?? true)
        try own(&residual)
        try product(x, [linear], nil, into: residual, gate: gate, silu: false, adds: true)
    }

    private func product(
        _ x: DeviceRows, _ parts: [IntegerLinear], _ norm: ModulatedNorm<DeviceRows>?, into y: DeviceRows, gate: DeviceRows?, silu: Bool, adds: Bool
    ) throws(MachineError) {
        precondition(!parts.isEmpty && parts.allSatisfy { $0.inputs == x.channels && $0.turn == parts[0].turn })
        guard x.rows > 0 else { return }
        let (codes, scales) = try quantized(x, norm, as: parts[0])
        var column = 0
        for first in stride(from: 0, to: parts.count, by: cg_most_parts) {
            let some = Array(parts[first..<min(parts.count, first + cg_most_parts)])
            let columns = some.map { cg_int($0.outputs) }
            let best = unsafe cg_best("gemm_i8_", Int64(x.rows), columns, CInt(some.count), CInt(device.multiprocessors), false)
            precondition(best >= 0, "there is no int8 product")
            let (tileRows, tileColumns) = unsafe (Int(cg_kernel_at(best).rows), Int(cg_kernel_at(best).columns))
            let places = some.map(\.part) + Array(repeating: cg_part(), count: cg_most_parts - some.count)
            let argument = cg_product(
                x: codes.address, sx: scales.address, y: y.address + UInt64(4 * column), gate: gate?.address ?? 0,
                part: (places[0], places[1], places[2], places[3]),
                rows: cg_int(x.rows), pitch: cg_int(parts[0].pitch), ldy: cg_int(y.channels), silu: silu ? 1 : 0, adds: adds ? 1 : 0, reserved: 0)
            let blocks = some.reduce(0) { $0 + Self.pieces($1.outputs, of: tileColumns) }
            try launch(best, grid: (Self.pieces(x.rows, of: tileRows), blocks, 1), argument)
            column += some.reduce(0) { $0 + $1.outputs }
        }
    }

    /// Codes `[rows, pitch]` and scales of x, normed and turned as a linear wants it.
    private func quantized(_ x: DeviceRows, _ norm: ModulatedNorm<DeviceRows>?, as linear: IntegerLinear) throws(MachineError) -> (codes: Block, scales: Block)
    {
        let (codes, scales) = (try take(x.rows * linear.pitch), try take(4 * x.rows))
        precondition(norm.map { $0.scale.count == x.channels && $0.shift.count == x.channels } ?? true)
        let epsilon = Float(norm?.epsilon ?? 0)
        let argument = cg_quantize(
            x: x.address, q: codes.address, s: scales.address, scale: norm?.scale.address ?? 0, shift: norm?.shift.address ?? 0,
            factors: linear.factors?.address ?? 0,
            epsilon: epsilon, epsilonRest: Float((norm?.epsilon ?? 0) - Double(epsilon)),
            columns: cg_int(x.channels), ldx: cg_int(x.channels), pitch: cg_int(linear.pitch), turn: cg_int(linear.turn))
        try launch("quantize_rows", grid: (x.rows, 1, 1), sharedBytes: Int(cg_quantize_shared(UInt32(linear.pitch))), argument)
        return (codes, scales)
    }

    static func pieces(_ count: Int, of size: Int) -> Int { (count + size - 1) / size }
}
