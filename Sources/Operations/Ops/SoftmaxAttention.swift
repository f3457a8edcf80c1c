import CKernels
package import Tensors

/// Causal softmax attention over several heads, with grouped keys, and a soft cap and a sliding window where asked for: row i sees columns up to i.
package struct SoftmaxAttention: Sendable {
    package let heads: Int
    /// Divides `heads`: each serves the same number of consecutive query heads.
    package let keyValueHeads: Int
    package let headDimension: Int
    package let scale: Double
    /// logits become cap * tanh(logits / cap).
    package let softCap: Double?
    /// Row i sees the last `window` columns up to i.
    package let window: Int?

    package init(heads: Int, keyValueHeads: Int, headDimension: Int, scale: Double, softCap: Double? = nil, window: Int? = nil) {
        precondition(heads % keyValueHeads == 0)
        (self.heads, self.keyValueHeads, self.headDimension, self.scale) = (heads, keyValueHeads, headDimension, scale)
        (self.softCap, self.window) = (softCap, window)
    }

    /// Columns of a matrix, from `column` on, one head after the other.
    package struct Columns {
        let matrix: Tensor
        let column: Int

        package init(matrix: Tensor, column: Int) { (self.matrix, self.column) = (matrix, column) }

        @unsafe var pointer: UnsafePointer<Float> { unsafe matrix.pointer + column }
        var stride: Int { matrix.columns }
    }

    /// Scores of so many query rows are held at once, for each thread.
    private static func block(_ rows: Int) -> Int { min(rows, 1024) }
    private static func scoreBytes(_ rows: Int, _ columns: Int) -> Int { block(rows) * columns * MemoryLayout<Float>.stride }

    /// Of so many rows behind a prefix: their attention with the keys and values of all, and scores with the keys and values of these rows.
    func footprint(_ rows: Int, _ prefix: Int) -> Footprint {
        let (columns, keys) = (prefix + rows, 2 * keyValueHeads * headDimension)
        return Footprint(
            kept: Tensor.byteCount(rows * heads * headDimension) + Tensor.byteCount(columns * keys),
            passing: (prefix > 0 ? Tensor.byteCount(rows * keys) : 0)
                + Memory.byteCount(of: Parallel.scratchBytes(heads, each: Self.scoreBytes(rows, columns))))
    }

    /// Returns `[query rows, heads * headDimension]`.
    ///
    /// - Parameter firstRow: the column that the first query row stands at: there are so many keys before it.
    package func callAsFunction(_ queries: Columns, _ keys: Columns, _ values: Columns, firstRow: Int = 0, on cpu: CPU) throws(MachineError) -> Tensor {
        let (rows, columns) = (queries.matrix.rows, keys.matrix.rows)
        precondition(values.matrix.rows == columns)
        let width = heads * headDimension
        let rowsPerBlock = Self.block(rows)
        var output = try Tensor([rows, width], zeroed: false)
        // The loops below know the buffers by their addresses alone, which does not keep them.
        defer { withExtendedLifetime((queries, keys, values, output)) {} }
        let out = unsafe SharedPointer(output.mutablePointer)
        // Heads are shared out, and a product stays on its thread: those of OpenBLAS would wait for the next one by taking turns with these.
        try unsafe Parallel.forEach(heads, scratchBytes: Self.scoreBytes(rows, columns)) { range, scratch in
            let scores = unsafe scratch.assumingMemoryBound(to: Float.self)
            for head in range {
                let (shared, own) = (head / (heads / keyValueHeads) * headDimension, head * headDimension)
                for start in stride(from: 0, to: rows, by: rowsPerBlock) {
                    let count = min(rowsPerBlock, rows - start)
                    unsafe BLAS.multiply(
                        queries.pointer + start * queries.stride + own, lda: queries.stride, keys.pointer + shared, ldb: keys.stride, transposed: true,
                        into: scores, ldc: columns, m: count, n: columns, k: headDimension, threads: 1)
                    unsafe ck_softmax_rows(cpu.isa, scores, columns, count, columns, scale, softCap ?? 0, firstRow + start, window ?? 0)
                    unsafe BLAS.multiply(
                        scores, lda: columns, values.pointer + shared, ldb: values.stride, transposed: false, into: out.pointer + start * width + own,
                        ldc: width, m: count, n: headDimension, k: columns, threads: 1)
                }
            }
        }
        return output
    }
}
