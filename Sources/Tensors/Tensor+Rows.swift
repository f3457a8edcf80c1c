extension EncodedTensor {
    /// A tensor of given bytes.
    /// - Precondition: as many as the shape says.
    package init(dtype: DType, shape: Shape, copying content: [UInt8]) throws(MachineError) {
        precondition(content.count == shape.elementCount * dtype.byteCount)
        try self.init(dtype: dtype, shape: shape)
        unsafe buffer.mutableBytes.copyBytes(from: content)
    }

    /// A tensor of given numbers.
    package init(_ shape: Shape, _ numbers: [Int32]) throws(MachineError) {
        try self.init(dtype: .i32, shape: shape, copying: numbers.flatMap { unsafe withUnsafeBytes(of: $0.littleEndian) { unsafe Array($0) } })
    }
}

extension Tensor {
    /// Some rows: a copy, where they are not all.
    package func rows(_ range: Range<Int>) throws(MachineError) -> Tensor { Tensor(sharing: try EncodedTensor(self).rows(range)) }

    /// A copy of some rows, in the order given.
    package func rows(_ indices: [Int]) throws(MachineError) -> Tensor { Tensor(sharing: try EncodedTensor(self).rows(indices)) }

    /// A copy of one row, `[columns]`.
    package func row(_ index: Int) throws(MachineError) -> Tensor { try rows([index]).reshaped([columns]) }

    /// A copy of some columns of all rows, `[rows, columns.count]`.
    package func columns(_ range: Range<Int>) throws(MachineError) -> Tensor {
        var result = try Tensor([rows, range.count], zeroed: false)
        for row in 0..<rows {
            unsafe (result.mutablePointer + row * range.count).update(from: pointer + row * columns + range.lowerBound, count: range.count)
        }
        return result
    }

    /// A copy of matrices of equal width, one below the other.
    package init(stacking parts: [Tensor]) throws(MachineError) {
        let columns = parts.first?.columns ?? 0
        try self.init([parts.reduce(0) { $0 + $1.rows }, columns], zeroed: false)
        var element = 0
        for part in parts {
            precondition(part.columns == columns)
            unsafe (mutablePointer + element).update(from: part.pointer, count: part.count)
            element += part.count
        }
    }
}
