extension EncodedTensor {
    /// The elements of `[out, in, kh, kw]` as `[out, kh, kw, in]`: each output's rows apart, so that any range of outputs can be had on its own.
    package func channelsLast() throws(MachineError) -> EncodedTensor {
        precondition(shape.rank == 4)
        let area = shape[2] * shape[3]
        return try transposedRows(inner: shape[1], outer: area, shape: [shape[0], shape[2], shape[3], shape[1]])
    }

    /// The inverse of `channelsLast`.
    package func channelsFirst() throws(MachineError) -> EncodedTensor {
        precondition(shape.rank == 4)
        let area = shape[1] * shape[2]
        return try transposedRows(inner: area, outer: shape[3], shape: [shape[0], shape[3], shape[1], shape[2]])
    }

    /// The same bytes under another shape.
    package func reshaped(_ shape: Shape) -> EncodedTensor { EncodedTensor(dtype: dtype, shape: shape, buffer: buffer) }

    /// Each row, a matrix `[inner, outer]`, transposed.
    private func transposedRows(inner: Int, outer: Int, shape: Shape) throws(MachineError) -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: shape)
        switch dtype.byteCount {
        case 1: unsafe Self.transpose(bytes, result.buffer.mutableBytes, UInt8.self, shape.rows, inner, outer)
        case 2: unsafe Self.transpose(bytes, result.buffer.mutableBytes, UInt16.self, shape.rows, inner, outer)
        case 4: unsafe Self.transpose(bytes, result.buffer.mutableBytes, UInt32.self, shape.rows, inner, outer)
        default: unsafe Self.transpose(bytes, result.buffer.mutableBytes, UInt64.self, shape.rows, inner, outer)
        }
        return result
    }

    @unsafe private static func transpose<Element: FixedWidthInteger>(
        _ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer, _ type: Element.Type, _ rows: Int, _ inner: Int, _ outer: Int
    ) {
        let source = unsafe source.bindMemory(to: Element.self)
        let target = unsafe target.bindMemory(to: Element.self)
        for row in 0..<rows {
            let start = row * inner * outer
            for column in 0..<outer {
                for index in 0..<inner { unsafe target[start + column * inner + index] = source[start + index * outer + column] }
            }
        }
    }
}
