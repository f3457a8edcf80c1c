import CKernels
package import Tensors

/// Keys and values of a prompt in the order in which attention reads them: packed once, they serve every step.
package struct PackedKeyValues: Sendable {
    let tokens: Int
    let heads: Int
    let headDimension: Int
    private let packed: Buffer

    /// - Parameter keyValues: `[tokens, 2 * heads * headDimension]`, all keys before all values; at least one token.
    package init(_ keyValues: Tensor, heads: Int, headDimension: Int) throws(AllocationError) {
        let width = heads * headDimension
        precondition(keyValues.rows > 0 && keyValues.columns == 2 * width)
        let packed = try Buffer(byteCount: ck_cross_attention_bytes(keyValues.rows, headDimension, heads), zeroed: false)
        unsafe ck_pack_cross_attention(
            keyValues.pointer, 2 * width, keyValues.pointer + width, 2 * width, packed.mutableBytes.baseAddress!, keyValues.rows, headDimension, heads)
        withExtendedLifetime(keyValues) {}
        (tokens, self.heads, self.headDimension, self.packed) = (keyValues.rows, heads, headDimension, packed)
    }

    /// Rows of queries that one thread works on at a time; their scores are held for 32 at once.
    private static let rowsPerItem = 256

    /// softmax(q k^T / sqrt(headDimension)) v for queries `[rows, heads * headDimension]`, in the same shape.
    package func attend(_ queries: Tensor) throws(AllocationError) -> Tensor {
        let (rows, width) = (queries.rows, heads * headDimension)
        precondition(queries.columns == width)
        var output = try Tensor([rows, width], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: queries.pointer), SharedPointer(output.mutablePointer))
        let parts = (rows + Self.rowsPerItem - 1) / Self.rowsPerItem
        let scale = 1 / Double(headDimension).squareRoot()
        // A head's keys and values stay in the cache while its queries pass.
        try unsafe Parallel.forEach(heads * parts, scratchBytes: ck_cross_attention_scratch(tokens, headDimension)) { range, scratch in
            for item in range {
                let (head, start) = (item / parts, item % parts * Self.rowsPerItem)
                unsafe ck_cross_attention(
                    isa, source.pointer + start * width, width, packed.bytes.baseAddress!, target.pointer + start * width, width, scratch,
                    min(Self.rowsPerItem, rows - start), tokens, headDimension, head, head + 1, scale)
            }
        }
        withExtendedLifetime((queries, output)) {}
        return output
    }
}
