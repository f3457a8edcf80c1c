import CKernels
package import Tensors

/// Keys and values of a prompt in the order in which attention reads them: packed once, they serve every step.
package struct PackedKeyValues: Sendable {
    private let cpu: CPU
    let tokens: Int
    let heads: Int
    let headDimension: Int
    private let packed: Buffer

    /// - Parameter keyValues: `[tokens, 2 * heads * headDimension]`, all keys before all values; at least one token.
    package init(_ keyValues: Tensor, heads: Int, headDimension: Int, on cpu: CPU) throws(MachineError) {
        self.cpu = cpu
        let width = heads * headDimension
        precondition(keyValues.rows > 0 && keyValues.columns == 2 * width)
        let packed = try Buffer(byteCount: Self.byteCount(keyValues.rows, heads, headDimension), zeroed: false)
        unsafe ck_pack_cross_attention(
            keyValues.pointer, 2 * width, keyValues.pointer + width, 2 * width, packed.mutableBytes.baseAddress!, keyValues.rows, headDimension, heads)
        withExtendedLifetime(keyValues) {}
        (tokens, self.heads, self.headDimension, self.packed) = (keyValues.rows, heads, headDimension, packed)
    }

    /// Bytes of so many tokens.
    static func byteCount(_ tokens: Int, _ heads: Int, _ headDimension: Int) -> Int { ck_cross_attention_bytes(tokens, headDimension, heads) }

    /// What `attend` takes for so many rows of queries.
    static func footprint(_ rows: Int, _ tokens: Int, _ heads: Int, _ headDimension: Int) -> Footprint {
        Footprint(
            kept: Tensor.byteCount(rows * heads * headDimension),
            passing: Memory.byteCount(of: Parallel.scratchBytes(heads * parts(rows), each: ck_cross_attention_scratch(tokens, headDimension))))
    }

    private static func parts(_ rows: Int) -> Int { (rows + rowsPerItem - 1) / rowsPerItem }

    /// Rows of queries that one thread works on at a time; their scores are held for 32 at once.
    private static let rowsPerItem = 256

    /// softmax(q k^T / sqrt(headDimension)) v for queries `[rows, heads * headDimension]`, in the same shape.
    package func attend(_ queries: Tensor) throws(MachineError) -> Tensor { try Self.attend(queries, to: [self]) }

    /// The same for equally many rows of queries for each of several prompts, one below the other.
    /// - Precondition: at least one prompt; all are of one model.
    static func attend(_ queries: Tensor, to prompts: [PackedKeyValues]) throws(MachineError) -> Tensor {
        let (heads, headDimension, isa) = (prompts[0].heads, prompts[0].headDimension, prompts[0].cpu.isa)
        let (rows, width) = (queries.rows / prompts.count, heads * headDimension)
        precondition(queries.columns == width && rows * prompts.count == queries.rows)
        var output = try Tensor([queries.rows, width], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: queries.pointer), SharedPointer(output.mutablePointer))
        let parts = parts(rows)
        let scratchBytes = prompts.reduce(0) { max($0, ck_cross_attention_scratch($1.tokens, headDimension)) }
        let scale = 1 / Double(headDimension).squareRoot()
        // A head's keys and values stay in the cache while its queries pass.
        try unsafe Parallel.forEach(prompts.count * heads * parts, scratchBytes: scratchBytes) { range, scratch in
            for item in range {
                let (number, head, part) = (item / (heads * parts), item / parts % heads, item % parts)
                let (prompt, first) = (prompts[number], number * rows + part * rowsPerItem)
                let queries = unsafe ck_cross_heads(
                    q: source.pointer + first * width, ldq: width, packed: prompt.packed.bytes.baseAddress!, out: target.pointer + first * width, ldo: width,
                    m: min(rowsPerItem, rows - part * rowsPerItem), tokens: prompt.tokens, d: headDimension, h0: head, h1: head + 1, scale: scale)
                unsafe ck_cross_attention(isa, queries, scratch)
            }
        }
        withExtendedLifetime((queries, output)) {}
        return output
    }
}
