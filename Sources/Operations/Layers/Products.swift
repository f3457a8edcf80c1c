package import Tensors

extension CPU {
    package func multiply(
        _ x: Tensor, by parts: [Linear], norm: ModulatedNorm<Tensor>?, then nonlinearity: Nonlinearity?
    ) throws(MachineError) -> Tensor {
        var result = try product(x, parts, norm)
        if let nonlinearity { try activate(&result, by: nonlinearity) }
        return result
    }

    /// - Precondition: at least one part.
    private func product(_ x: Tensor, _ parts: [Linear], _ norm: ModulatedNorm<Tensor>?) throws(MachineError) -> Tensor {
        if parts.count == 1, norm == nil { return try parts[0](x) }
        let (rows, outputs) = (x.count / x.channels, parts.reduce(0) { $0 + $1.outputs })
        // How rows are to be packed for all parts; nil where they do not agree or another kernel multiplies them.
        let agree = parts.dropFirst().allSatisfy { $0.rowType == parts[0].rowType && InputTurn.agree($0.inputTurn, parts[0].inputTurn) }
        let type = agree ? parts[0].rowType : nil
        var result = try Tensor(Shape(x.shape.extents.dropLast() + [outputs]), zeroed: false)
        var column = 0
        // A norm is part of packing the rows, so that even few of them are better packed.
        if let type, norm != nil || !parts.contains(where: { $0.takesDenseRows(rows) }) {
            let packed = try PackedRows(x, columns: x.channels, norm, as: type, parts[0].inputTurn, for: parts[0].name, on: self)
            for part in parts {
                unsafe try part.multiply(packed, to: result.mutablePointer + column, stride: outputs)
                column += part.outputs
            }
            return result
        }
        let x = if let norm { try normed(x, by: norm) } else { x }
        for part in parts {
            unsafe try part.apply(x.pointer, rows: rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }
}
