extension EncodedTensor {
    /// A tensor of given bytes.
    /// - Precondition: as many as the shape says.
    package init(dtype: DType, shape: Shape, copying content: [UInt8]) throws(AllocationError) {
        precondition(content.count == shape.elementCount * dtype.byteCount)
        try self.init(dtype: dtype, shape: shape)
        unsafe buffer.mutableBytes.copyBytes(from: content)
    }

    /// A tensor of given numbers.
    package init(_ shape: Shape, _ numbers: [Int32]) throws(AllocationError) {
        try self.init(dtype: .i32, shape: shape, copying: numbers.flatMap { unsafe withUnsafeBytes(of: $0.littleEndian) { unsafe Array($0) } })
    }

    /// Some rows: a copy, where they are not all.
    package func rows(_ range: Range<Int>) throws(AllocationError) -> EncodedTensor {
        guard range.count < shape.rows else { return self }
        let result = try EncodedTensor(dtype: dtype, shape: Shape([range.count] + shape.extents.dropFirst()))
        let rowBytes = shape.columns * dtype.byteCount
        unsafe result.buffer.mutableBytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * rowBytes..<range.upperBound * rowBytes]))
        return result
    }

    /// A copy of some rows, in the order given.
    package func rows(_ indices: [Int]) throws(AllocationError) -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: Shape([indices.count] + shape.extents.dropFirst()))
        let byteCount = shape.columns * dtype.byteCount
        precondition(indices.allSatisfy { (0..<shape.rows).contains($0) })
        for (place, index) in indices.enumerated() {
            let row = unsafe UnsafeRawBufferPointer(rebasing: bytes[index * byteCount..<(index + 1) * byteCount])
            unsafe UnsafeMutableRawBufferPointer(rebasing: result.buffer.mutableBytes[(place * byteCount)...]).copyMemory(from: row)
        }
        return result
    }
}

extension Tensor {
    /// Some rows: a copy, where they are not all.
    package func rows(_ range: Range<Int>) throws(AllocationError) -> Tensor { Tensor(sharing: try EncodedTensor(self).rows(range)) }

    /// A copy of some rows, in the order given.
    package func rows(_ indices: [Int]) throws(AllocationError) -> Tensor { Tensor(sharing: try EncodedTensor(self).rows(indices)) }

    /// A copy of one row, `[columns]`.
    package func row(_ index: Int) throws(AllocationError) -> Tensor { try rows([index]).reshaped([columns]) }

    /// A copy of some columns of all rows, `[rows, columns.count]`.
    package func columns(_ range: Range<Int>) throws(AllocationError) -> Tensor {
        var result = try Tensor([rows, range.count], zeroed: false)
        for row in 0..<rows {
            unsafe (result.mutablePointer + row * range.count).update(from: pointer + row * columns + range.lowerBound, count: range.count)
        }
        return result
    }

    /// A copy of matrices of equal width, one below the other.
    package init(stacking parts: [Tensor]) throws(AllocationError) {
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
