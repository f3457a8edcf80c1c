internal import CGPUKernels
package import Operations
package import Tensors

extension LinearAttention {
    /// Tokens whose sums one block makes: of how many parts a sum is made depends on the tokens alone, so that all cards give the same bits.
    static let tokensOfPart = 512

    static func parts(_ tokens: Int) -> Int { Engine.pieces(tokens, of: tokensOfPart) }

    /// Floats of the parts of the sums of a head, and of the sums.
    static func partElements(_ d: Int) -> Int { 2 * (d + 1) * d }
    static func totalElements(_ d: Int) -> Int { (d + 1) * d }
}

extension Engine {
    /// Linear attention over each of so many maps, and beside it that of a map through each of the scales.
    package func linearAttention(
        _ qkv: inout DeviceRows, _ layout: LinearAttention.Layout, queryNorm: DeviceNorm?, keyNorm: DeviceNorm?,
        scales: [(DeviceDepthwise, DevicePointwise)], maps: Int
    ) throws(MachineError) -> DeviceRows {
        let width = qkv.channels / 3
        try norm(&qkv, column: 0, by: queryNorm)
        try norm(&qkv, column: width, by: keyNorm)
        let attended = try fresh(Shape(qkv.shape.extents.dropLast() + [width * (1 + scales.count)]))
        try attend(qkv, layout, into: attended, maps: maps)
        for (index, (depthwise, pointwise)) in scales.enumerated() {
            try attend(try applied(pointwise, to: try applied(depthwise, to: qkv)), layout, into: attended, column: (1 + index) * width)
        }
        return attended
    }

    /// Attends over the tokens of each of so many maps of `qkv` [.., 3 * width], into the columns of `output` from one on.
    private func attend(
        _ qkv: DeviceRows, _ layout: LinearAttention.Layout, into output: DeviceRows, column: Int = 0, maps: Int = 1
    ) throws(MachineError) {
        let (heads, d) = (layout.heads, layout.headDimension)
        precondition(qkv.channels == 3 * heads * d && output.rows == qkv.rows && column + heads * d <= output.channels && qkv.rows % maps == 0)
        guard qkv.rows > 0 else { return }
        let tokens = qkv.rows / maps
        let parts = LinearAttention.parts(tokens)
        // As many maps at a time as have no more parts than one map of all tokens: what is stated before anybody knows of maps.
        let most = min(maps, max(1, LinearAttention.parts(qkv.rows) / parts))
        let sums = try take(most * heads * parts * LinearAttention.partElements(d) * MemoryLayout<Float>.stride)
        let totals = try take(most * heads * LinearAttention.totalElements(d) * MemoryLayout<Float>.stride)
        let squares = Self.pieces(d, of: 32) * Self.pieces(d, of: 32)
        for first in stride(from: 0, to: maps, by: most) {
            let some = min(most, maps - first)
            let start = first * tokens * qkv.channels
            let argument = cg_linear_attention(
                q: qkv.address(at: start), k: qkv.address(at: start + layout.keyColumn), v: qkv.address(at: start + layout.valueColumn),
                sums: sums.address, totals: totals.address, out: output.address(at: first * tokens * output.channels + column),
                ld: cg_int(qkv.channels), ldo: cg_int(output.channels), tokens: cg_int(tokens), d: cg_int(d), stride: cg_int(layout.headStride),
                heads: cg_int(heads), maps: cg_int(some), parts: cg_int(parts))
            try launch("linear_sum", grid: (parts, heads * squares, some), argument)
            try launch("linear_total", grid: (Self.pieces(some * heads * LinearAttention.totalElements(d), of: 256), 1, 1), argument)
            try launch(
                "linear_apply", grid: (Self.pieces(tokens, of: 64), heads, some), sharedBytes: Int(cg_linear_apply_shared(UInt32(d))), argument)
        }
    }
}
