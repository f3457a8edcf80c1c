import CKernels
package import Tensors

/// The mix-FFN: 1x1 convolution, SiLU, depthwise 3x3, gate, 1x1 convolution, and in the autoencoder an RMS norm.
///
/// The residual is the caller's. The wide map between the two 1x1 convolutions is never made whole: each thread takes a panel of
/// channels and their gates from the first product to the gated result while they are in its cache.
/// Source: GLUMBConv in diffusers' sana_transformer.py.
package struct GatedConvolution: Sendable {
    /// The two halves of the first convolution: what passes, and what gates it.
    private let value: Linear
    private let gate: Linear
    private let depthwise: Depthwise
    private let project: Linear
    private let norm: RMSNorm?

    /// Rows of a panel that both halves multiply while the rows are in the second-level cache.
    private static let band = 8 * PackedRows.tile

    /// - Parameters:
    ///   - depthwise: 3x3 with biases, over the outputs of `value`, then of `gate`.
    ///   - project: without a bias.
    package init(value: Linear, gate: Linear, depthwise: Depthwise, project: Linear, norm: RMSNorm?) {
        (self.value, self.gate, self.depthwise, self.project, self.norm) = (value, gate, depthwise, project, norm)
    }

    /// x [h, w, channels] to the same shape.
    package func callAsFunction(_ x: Tensor) throws(AllocationError) -> Tensor {
        let result = try project(try expanded(x, nil, 1, x.shape[0], x.shape[1])).reshaped(x.shape)
        return try norm?(result) ?? result
    }

    /// x [maps * height * width, channels] += factor * (what this makes of the normed x), without a norm of its own: maps of tokens one
    /// below the other.
    package func update(
        _ x: inout Tensor, norm: ModulatedNorm, factor: Tensor, maps: Int, height: Int, width: Int
    ) throws(AllocationError) {
        precondition(self.norm == nil)
        try project.add(try expanded(x, norm, maps, height, width), to: &x, gate: factor)
    }

    private func expanded(_ x: Tensor, _ norm: ModulatedNorm?, _ maps: Int, _ height: Int, _ width: Int) throws(AllocationError) -> Tensor {
        if let type = value.rowType {
            return try expanded(try PackedRows(x, columns: value.inputs, norm, as: type, on: value.cpu), maps, height, width)
        }
        var hidden = try LinearGroup([value, gate])(x.reshaped([maps * height * width, value.inputs]), norm: norm)
        value.cpu.apply(.silu, to: &hidden)
        return try value.cpu.siluGated(try depthwise(hidden, maps: maps, height: height, width: width))
    }

    private func expanded(_ rows: PackedRows, _ maps: Int, _ height: Int, _ width: Int) throws(AllocationError) -> Tensor {
        let (hidden, panel) = (value.outputs, PackedRows.panel)
        // An odd number of cache lines, so that neighbours do not fall into the same few sets of the first-level cache.
        let stride = 2 * panel + 16
        precondition(rows.count == maps * height * width)
        var result = try Tensor([rows.count, hidden], zeroed: false)
        let target = unsafe SharedPointer(result.mutablePointer)
        let mapBytes = rows.count * stride * MemoryLayout<Float>.stride
        let scratchBytes = mapBytes + 2 * value.scratchBytes(channels: panel)
        try unsafe Parallel.forEach(hidden, grain: panel, scratchBytes: scratchBytes) { range, scratch in
            let map = unsafe scratch.assumingMemoryBound(to: Float.self)
            for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: panel) {
                let channels = start..<min(start + panel, range.upperBound)
                let values = unsafe value.panels(channels, scratch: scratch + mapBytes)
                let gates = unsafe gate.panels(channels, scratch: scratch + mapBytes + value.scratchBytes(channels: panel))
                let (a, b) = unsafe (depthwise.taps(from: start), depthwise.taps(from: hidden + start))
                var gated = 0
                for row in Swift.stride(from: 0, to: rows.count, by: Self.band) {
                    let band = row..<min(row + Self.band, rows.count)
                    unsafe value.multiply(rows, band, values, channels, to: map, stride: stride, .init(silu: true))
                    unsafe gate.multiply(rows, band, gates, channels, to: map + panel, stride: stride, .init(silu: true))
                    // Rows of pixels whose neighbours are there, while they are in the first-level cache.
                    let ready = band.upperBound == rows.count ? maps * height : max(gated, band.upperBound / width - 1)
                    while gated < ready {
                        let first = gated / height * height
                        let end = min(ready, first + height)
                        let own = unsafe map + first * width * stride
                        let maps = unsafe ck_gated_maps(
                            a: own, g: own + panel, ldu: stride, wa: a.weight, wg: b.weight, ldw: depthwise.channels, ba: a.bias, bg: b.bias,
                            y: target.pointer + first * width * hidden + start, ldy: hidden, h: height, w: width, c: channels.count, row0: gated - first,
                            row1: end - first)
                        unsafe ck_depthwise_glu(value.isa, maps)
                        gated = end
                    }
                }
            }
        }
        return result
    }
}
