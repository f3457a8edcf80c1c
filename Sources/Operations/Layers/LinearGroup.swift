package import Tensors

/// Linears of one input whose outputs stand side by side: one fused weight, or several where the fusion is off.
package struct LinearGroup: Sendable {
    private let parts: [Linear]
    package let outputs: Int

    /// - Precondition: at least one part.
    package init(_ parts: [Linear]) {
        precondition(!parts.isEmpty)
        self.parts = parts
        outputs = parts.reduce(0) { $0 + $1.outputs }
    }

    /// How rows are to be packed for all parts; nil where they do not agree or another kernel multiplies them.
    private var rowType: PackedType? {
        guard let type = parts.first?.rowType, parts.allSatisfy({ $0.rowType == type }) else { return nil }
        return type
    }

    /// x [rows, inputs], normed where there is a norm, to [rows, outputs of all parts].
    package func callAsFunction(_ x: Tensor, norm: ModulatedNorm? = nil) throws(AllocationError) -> Tensor {
        // A norm is part of packing the rows, so that even few of them are better packed.
        if let type = rowType, norm != nil || !parts.contains(where: { $0.takesDenseRows(x.rows) }) {
            return try self(try PackedRows(x, columns: x.columns, norm, as: type, on: parts[0].cpu))
        }
        let x = if let norm { try parts[0].cpu.apply(norm, to: x) } else { x }
        var result = try Tensor([x.rows, outputs], zeroed: false)
        var column = 0
        for part in parts {
            unsafe try part.apply(x.pointer, rows: x.rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }

    private func callAsFunction(_ rows: PackedRows) throws(AllocationError) -> Tensor {
        var result = try Tensor([rows.count, outputs], zeroed: false)
        var column = 0
        for part in parts {
            unsafe try part.multiply(rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }
}
