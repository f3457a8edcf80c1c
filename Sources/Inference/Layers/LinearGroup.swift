package import Tensors

/// Linears of one input whose outputs stand side by side: one fused weight, or several where the fusion is off.
package struct LinearGroup: Sendable {
    private let parts: [Linear]
    package let outputs: Int

    package init(_ parts: [Linear]) {
        self.parts = parts
        outputs = parts.reduce(0) { $0 + $1.outputs }
    }

    /// How rows are to be packed for all parts; nil where they do not agree or another kernel multiplies them.
    var rowType: PackedType? {
        guard let type = parts.first?.rowType, parts.allSatisfy({ $0.rowType == type }) else { return nil }
        return type
    }

    /// x [rows, inputs] to [rows, outputs of all parts].
    package func callAsFunction(_ x: Tensor) throws(AllocationError) -> Tensor {
        if let type = rowType, let cpu = parts.first?.cpu, !parts.contains(where: { $0.takesDenseRows(x.rows) }) {
            return try self(try unsafe PackedRows(x.pointer, rows: x.rows, columns: x.columns, as: type, on: cpu))
        }
        var result = try Tensor([x.rows, outputs], zeroed: false)
        var column = 0
        for part in parts {
            unsafe try part.apply(x.pointer, rows: x.rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }

    /// Rows that have been packed as `rowType` says.
    func callAsFunction(_ rows: PackedRows) throws(AllocationError) -> Tensor {
        var result = try Tensor([rows.count, outputs], zeroed: false)
        var column = 0
        for part in parts {
            unsafe try part.multiply(rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }
}
