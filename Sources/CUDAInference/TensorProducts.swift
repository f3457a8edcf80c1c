internal import CGPUKernels
internal import CUDADriver
internal import Operations
internal import Tensors

/// Rows as tensor cores read them: made once, they serve all linears of one input.
struct Operand {
    /// The products of its type.
    let family: String
    let rows: Int
    /// `[rows, pitch]` in bytes.
    let values: Engine.Block
    let pitch: Int
    /// Of int8.
    let scales: Engine.Block?

    /// Bytes on the device.
    static func byteCount(_ form: DeviceForm, _ rows: Int, _ columns: Int) -> Int {
        switch form {
        case .integers: Engine.size(for: rows * form.pitch(columns)) + Engine.size(of: rows)
        case .narrow: rows > 1 ? Engine.size(for: rows * form.pitch(columns)) : 0
        case .half, .codes, .float32: 0
        }
    }
}

extension DeviceLinear {
    /// As the products of tensor cores take it.
    fileprivate var part: cg_part {
        let (values, scales): (Engine.Block, UInt64) =
            switch weight {
            case .integers(let codes, let scales, _, _): (codes, scales.address)
            case .narrow(let values, _, _): (values, 0)
            case .floats: preconditionFailure("floats are no operand of tensor cores")
            }
        return cg_part(q: values.address, s: scales, bias: bias?.address ?? 0, columns: cg_int(outputs), reserved: 0)
    }
}

extension Engine {
    /// Writes the outputs of linears side by side, as many at a time as a kernel takes, and moves on behind them.
    func multiply(_ x: Operand, by parts: [DeviceLinear], into outputs: inout Outputs) throws(MachineError) {
        for first in stride(from: 0, to: parts.count, by: cg_most_parts) {
            let some = parts[first..<min(parts.count, first + cg_most_parts)]
            let width = some.reduce(0) { $0 + $1.outputs }
            if outputs.takesFours {
                try product(x, some, outputs)
            } else {
                precondition(!outputs.adds, "what is added is of one linear, whose first column is the matrix's")
                let own = try fresh([x.rows, width])
                try product(x, some, Outputs(rows: own, silu: outputs.silu))
                try copy(own, to: outputs.rows, column: outputs.column)
            }
            outputs.column += width
        }
    }

    private func product(_ x: Operand, _ parts: ArraySlice<DeviceLinear>, _ outputs: Outputs) throws(MachineError) {
        let places = parts.map(\.part) + Array(repeating: cg_part(), count: cg_most_parts - parts.count)
        let argument = cg_product(
            x: x.values.address, sx: x.scales?.address ?? 0, y: outputs.address, gate: outputs.gate?.address ?? 0,
            part: (places[0], places[1], places[2], places[3]),
            rows: cg_int(x.rows), pitch: cg_int(x.pitch), ldy: outputs.stride, silu: outputs.silu ? 1 : 0, adds: outputs.adds ? 1 : 0, reserved: 0)
        try launchBest(x.family, rows: x.rows, columns: parts.map(\.outputs), argument)
    }

    /// Codes and scales of x, normed and turned as a linear wants it.
    func quantized(_ x: DeviceRows, _ norm: ModulatedNorm<DeviceRows>?, _ turn: InputTurn?, _ factors: DeviceRows?) throws(MachineError) -> Operand {
        precondition(norm.map { $0.scale.count == x.channels && $0.shift.count == x.channels } ?? true)
        let pitch = DeviceForm.integers.pitch(x.channels)
        let (codes, scales) = (try take(x.rows * pitch), try take(x.rows * MemoryLayout<Float>.stride))
        let (epsilon, rest) = Self.split(norm?.epsilon ?? 0)
        let argument = cg_quantize(
            x: x.address, q: codes.address, s: scales.address, scale: norm?.scale.address ?? 0, shift: norm?.shift.address ?? 0,
            factors: factors?.address ?? 0, epsilon: epsilon, epsilonRest: rest,
            columns: cg_int(x.channels), ldx: cg_int(x.channels), pitch: cg_int(pitch), turn: cg_int(turn?.block ?? 1))
        try launch("quantize_rows", grid: (x.rows, 1, 1), sharedBytes: Int(cg_quantize_shared(UInt32(pitch))), argument)
        return Operand(family: "gemm_i8_", rows: x.rows, values: codes, pitch: pitch, scales: scales)
    }

    /// x rounded to a type.
    /// - Parameter layer: whose inputs they are.
    func narrowed(_ x: DeviceRows, to type: NarrowType, for layer: UInt32) throws(MachineError) -> Operand {
        let pitch = DeviceForm.narrow(type).pitch(x.channels)
        let values = try take(x.rows * pitch)
        let argument = cg_narrow(
            x: x.address, q: values.address, beyond: type == .float16 ? try beyond.address : 0, rows: cg_int(x.rows), columns: cg_int(x.channels),
            pitch: cg_int(pitch), type: type.code, layer: layer, reserved: 0)
        try launch("narrow_rows", grid: (Self.pieces(x.rows, of: 8), 1, 1), argument)
        return Operand(family: type.family, rows: x.rows, values: values, pitch: pitch, scales: nil)
    }
}
