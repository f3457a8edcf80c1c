internal import CGPUKernels
package import Operations
package import Tensors

/// Where the outputs of products go, and what is done with them first.
struct Outputs {
    let rows: DeviceRows
    var column = 0
    var silu = false
    /// Whether they are added to what is there, times a gate where there is one.
    var adds = false
    var gate: DeviceRows?

    var address: UInt64 { rows.address(at: column) }
    var stride: cg_int { cg_int(rows.channels) }
    /// Whether kernels that write four values at once, where rows are whole fours, find the first of them aligned.
    var takesFours: Bool { Self.takeFours(from: column, of: rows.channels) }

    static func takeFours(from column: Int, of stride: Int) -> Bool { stride % 4 != 0 || column % 4 == 0 }
}

extension Engine {
    /// The outputs of linears of one input side by side, `[.., inputs]` to `[.., outputs of all]`, of x as it is or normed.
    package func multiply(
        _ x: DeviceRows, by parts: [DeviceLinear], norm: ModulatedNorm<DeviceRows>? = nil, then nonlinearity: Nonlinearity? = nil
    ) throws(MachineError) -> DeviceRows {
        precondition(!parts.isEmpty && parts.allSatisfy { $0.inputs == x.channels })
        let result = try fresh(Shape(x.shape.extents.dropLast() + [parts.reduce(0) { $0 + $1.outputs }]))
        let fused = if case .silu? = nonlinearity { true } else { false }
        try product(x, parts, norm, into: Outputs(rows: result, silu: fused))
        guard let nonlinearity, !fused else { return result }
        return try activated(result, by: nonlinearity)
    }

    /// Updates residual += gate * linear(x), with a gate `[outputs]` or 1.
    package func add(_ x: DeviceRows, by linear: DeviceLinear, to residual: inout DeviceRows, gate: DeviceRows?) throws(MachineError) {
        precondition(residual.channels == linear.outputs && residual.rows == x.rows && gate.map { $0.count == linear.outputs } ?? true)
        try own(&residual)
        try product(x, [linear], nil, into: Outputs(rows: residual, adds: true, gate: gate))
    }

    private func product(
        _ x: DeviceRows, _ parts: [DeviceLinear], _ norm: ModulatedNorm<DeviceRows>?, into outputs: Outputs
    ) throws(MachineError) {
        guard x.count > 0 else { return }
        // A quantizer norms on its way; for all else that is a step of its own.
        let fuses = parts[0].multipliesIntegers && parts.allSatisfy { $0.reads(as: parts[0]) }
        let x = if let norm, !fuses { try normed(x, by: norm) } else { x }
        var (outputs, rest) = (outputs, parts[...])
        while let first = rest.first {
            let same = Array(rest.prefix { $0.reads(as: first) })
            switch first.weight {
            case .integers(_, _, let turn, let factors):
                try multiply(try quantized(x, fuses ? norm : nil, turn, factors), by: same, into: &outputs)
            case .narrow(_, let type, let layer) where x.rows > 1: try multiply(try narrowed(x, to: type, for: layer), by: same, into: &outputs)
            case .narrow, .floats: for part in same { try multiply(x, by: part, into: &outputs) }
            }
            rest = rest.dropFirst(same.count)
        }
    }
}
