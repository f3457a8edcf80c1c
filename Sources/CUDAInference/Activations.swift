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
        let result = try fresh(Shape(x.shape.extents.dropLast() + [x.channels / 2]))
        try gate("gate_gelu", x, into: result)
        return result
    }

    /// One half of the channels gated by the other.
    func gate(_ name: String, _ x: DeviceRows, into result: DeviceRows) throws(MachineError) {
        let columns = result.channels
        for first in stride(from: 0, to: x.rows, by: Self.mostBlocks) {
            let argument = cg_gate(x: x.address(at: first * x.channels), y: result.address(at: first * columns), columns: cg_int(columns))
            try launch(name, grid: (Self.pieces(columns, of: 1024), min(Self.mostBlocks, x.rows - first), 1), argument)
        }
    }

    /// Blocks that a grid has in its second and third direction.
    static let mostBlocks = 65535
}
