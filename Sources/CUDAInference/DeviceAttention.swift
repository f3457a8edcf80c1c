internal import CGPUKernels
package import Operations
package import Tensors

/// Keys and values of a prompt, `[tokens, 2 * heads * headDimension]`, keys before values.
package struct DeviceKeyValues: Sendable {
    let rows: DeviceRows
    let heads: Int
    let headDimension: Int
}

extension Engine {
    /// The widest head that kernels take.
    private static let widestHead = 256

    package func keyValues(
        _ rows: inout DeviceRows, keyNorm: DeviceNorm?, heads: Int, headDimension: Int
    ) throws(MachineError) -> DeviceKeyValues {
        precondition(rows.rows > 0 && rows.channels == 2 * heads * headDimension)
        try norm(&rows, column: 0, by: keyNorm)
        return DeviceKeyValues(rows: rows, heads: heads, headDimension: headDimension)
    }

    /// The attention of equally many rows of queries `[rows, width]` to each of several prompts.
    package func crossAttention(
        _ queries: inout DeviceRows, queryNorm: DeviceNorm?, to prompts: [DeviceKeyValues]
    ) throws(MachineError) -> DeviceRows {
        let (heads, d) = (prompts[0].heads, prompts[0].headDimension)
        let (rows, width) = (queries.rows / prompts.count, heads * d)
        precondition(queries.channels == width && rows * prompts.count == queries.rows)
        try norm(&queries, column: 0, by: queryNorm)
        let output = try fresh([queries.rows, width])
        for (number, prompt) in prompts.enumerated() {
            let start = number * rows * width
            try attend(
                cg_attention(
                    q: queries.address(at: start), k: prompt.rows.address, v: prompt.rows.address(at: width), out: output.address(at: start),
                    rows: cg_int(rows), tokens: cg_int(prompt.rows.rows), ldq: cg_int(width), ldk: cg_int(2 * width), ldo: cg_int(width), d: cg_int(d),
                    share: 1, causal: 0, first: 0, window: 0, scale: Float(1 / Double(d).squareRoot()), cap: 0),
                heads: heads)
        }
        return output
    }

    /// Causal attention of tokens `[tokens, queries, keys, values]` behind a prefix.
    package func causalAttention(
        _ qkv: inout DeviceRows, after prefix: DeviceRows?, _ attention: SoftmaxAttention, rotary: DeviceRows
    ) throws(MachineError) -> (attended: DeviceRows, keyValues: DeviceRows) {
        let d = attention.headDimension
        let (queries, keys) = (attention.heads * d, attention.keyValueHeads * d)
        precondition(rotary.rows == qkv.rows && rotary.channels == d && qkv.channels == queries + 2 * keys)
        try own(&qkv)
        for (column, heads) in [(0, attention.heads), (queries, attention.keyValueHeads)] {
            let argument = cg_rotate(
                x: qkv.address(at: column), table: rotary.address, ldx: cg_int(qkv.channels), heads: cg_int(heads), width: cg_int(d))
            try launch("rotate", grid: (qkv.rows, 1, 1), argument)
        }
        let keyValues = try stacked(prefix, queries..<queries + 2 * keys, of: qkv)
        let output = try fresh([qkv.rows, queries])
        try attend(
            cg_attention(
                q: qkv.address, k: keyValues.address, v: keyValues.address(at: keys), out: output.address, rows: cg_int(qkv.rows),
                tokens: cg_int(keyValues.rows), ldq: cg_int(qkv.channels), ldk: cg_int(2 * keys), ldo: cg_int(queries), d: cg_int(d),
                share: cg_int(attention.heads / attention.keyValueHeads), causal: 1, first: cg_int(prefix?.rows ?? 0),
                window: cg_int(clamping: attention.window ?? 0), scale: Float(attention.scale), cap: Float(attention.softCap ?? 0)),
            heads: attention.heads)
        return (output, keyValues)
    }

    private func attend(_ argument: cg_attention, heads: Int) throws(MachineError) {
        guard argument.d <= Self.widestHead else {
            throw .device("the GPU's kernels attend with heads of at most \(Self.widestHead) values, found \(argument.d); compute on the CPU")
        }
        let (name, queries) = argument.d <= 128 ? ("attention_128", 64) : ("attention_256", 32)
        try launch(
            name, grid: (Self.pieces(Int(argument.rows), of: queries), heads, 1),
            sharedBytes: Int(cg_attention_shared(UInt32(queries), UInt32(argument.d))), argument)
    }
}
