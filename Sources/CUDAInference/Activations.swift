internal import CGPUKernels
package import Operations
package import Tensors

extension Engine {
    /// A nonlinearity of all elements; a gate gives half as many channels.
    package func activated(_ x: DeviceRows, by nonlinearity: Nonlinearity) throws(MachineError) -> DeviceRows {
        let function: cg_int
        switch nonlinearity {
        case .silu: function = cg_int(cg_silu)
        case .gelu: function = cg_int(cg_gelu)
        case .exactGELU: function = cg_int(cg_exact_gelu)
        case .geluGate: return try gated(x)
        }
        let result = try fresh(x.shape)
        guard x.count > 0 else { return result }
        try launch(
            "activate", grid: (Self.pieces(x.count, of: 1024), 1, 1), cg_activate(x: x.address, y: result.address, count: UInt32(x.count), function: function))
        return result
    }

    private func gated(_ x: DeviceRows) throws(MachineError) -> DeviceRows {
        let columns = x.channels / 2
        let result = try fresh(Shape(x.shape.extents.dropLast() + [columns]))
        // A grid has so many blocks in its second direction.
        for first in stride(from: 0, to: x.rows, by: 65535) {
            let argument = cg_gate(
                x: x.address + UInt64(first * x.channels * 4), y: result.address + UInt64(first * columns * 4), columns: cg_int(columns))
            try launch("gate_gelu", grid: (Self.pieces(columns, of: 1024), min(65535, x.rows - first), 1), argument)
        }
        return result
    }
}
