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
    private let fused: Bool

    /// Rows of a panel that both halves multiply while the rows are in the second-level cache.
    private static let band = 8 * PackedRows.tile

    /// - Parameters:
    ///   - prefix: packed names below it are `in`, `depth`, `out` and, in the autoencoder, `norm`.
    ///   - fused: off only to see that it changes nothing but the last bits.
    package init(
        _ loader: WeightLoader, _ prefix: String, channels: Int, hidden: Int, norm: Bool, fused: Bool = true
    ) throws(WeightError) {
        (value, gate) = try loader.halves(prefix + "in", 2 * hidden, channels)
        depthwise = try loader.depthwise(prefix + "depth", channels: 2 * hidden, kernel: 3, bias: true)
        project = try loader.linear(prefix + "out", channels, hidden, bias: false)
        self.norm = norm ? try loader.norm(prefix + "norm", channels, bias: true, epsilon: 1e-5) : nil
        self.fused = fused && value.rowType != nil
    }

    /// x [h, w, channels] to the same shape.
    package func callAsFunction(_ x: Tensor) throws(AllocationError) -> Tensor {
        try self(x, maps: 1, height: x.shape[0], width: x.shape[1])
    }

    /// Maps `x` of `height` x `width` tokens one below the other, to the same shape.
    func callAsFunction(_ x: Tensor, maps: Int, height: Int, width: Int) throws(AllocationError) -> Tensor {
        let result = try project(try expanded(x, maps, height, width)).reshaped(x.shape)
        return try norm?(result) ?? result
    }

    /// residual [maps * h * w, channels] += gate * (the FFN of rows packed as `rowType` says).
    func add(_ rows: PackedRows, maps: Int, height: Int, width: Int, to residual: inout Tensor, gate: Tensor) throws(AllocationError) {
        try project.add(try expanded(rows, maps, height, width), to: &residual, gate: gate)
    }

    /// How rows are to be packed for `add`; nil where the fusion does not apply.
    var rowType: PackedType? { fused ? value.rowType : nil }

    private func expanded(_ x: Tensor, _ maps: Int, _ height: Int, _ width: Int) throws(AllocationError) -> Tensor {
        if let rowType {
            let rows = try unsafe PackedRows(x.pointer, rows: maps * height * width, columns: value.inputs, as: rowType)
            withExtendedLifetime(x) {}
            return try expanded(rows, maps, height, width)
        }
        var hidden = try LinearGroup([value, gate])(x.reshaped([maps * height * width, value.inputs]))
        Activation.silu.apply(&hidden)
        return try GatedUnit.silu(try depthwise(hidden, maps: maps, height: height, width: width))
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
                        unsafe ck_depthwise_glu(isa, maps)
                        gated = end
                    }
                }
            }
        }
        return result
    }
}
