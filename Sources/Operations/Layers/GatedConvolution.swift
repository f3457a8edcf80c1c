import CKernels
package import Tensors

/// The mix-FFN: 1x1 convolution, SiLU, depthwise 3x3, gate, 1x1 convolution, and in the autoencoder an RMS norm.
///
/// On the CPU the wide map between the two 1x1 convolutions is never made whole: each thread takes a panel of
/// channels and their gates from the first product to the gated result while they are in its cache.
/// Source: GLUMBConv in diffusers' sana_transformer.py.
package struct GatedConvolution<E: Executor>: Sendable {
    /// The two halves of the first convolution: what passes, and what gates it.
    package let value: E.Linear
    package let gate: E.Linear
    package let depthwise: E.Depthwise
    package let project: E.Linear
    package let norm: E.Norm?

    /// - Parameters:
    ///   - depthwise: 3x3 with biases, over the outputs of `value`, then of `gate`.
    ///   - project: without a bias.
    package init(value: E.Linear, gate: E.Linear, depthwise: E.Depthwise, project: E.Linear, norm: E.Norm?) {
        (self.value, self.gate, self.depthwise, self.project, self.norm) = (value, gate, depthwise, project, norm)
    }
}

extension GatedConvolution {
    /// The same layer for an executor that has these depthwise convolutions and norms.
    /// - Parameter linear: gives its linears.
    package func on<Other: Executor>(_: Other.Type, _ linear: (E.Linear) -> Other.Linear) -> GatedConvolution<Other>
    where Other.Depthwise == E.Depthwise, Other.Norm == E.Norm {
        GatedConvolution<Other>(value: linear(value), gate: linear(gate), depthwise: depthwise, project: linear(project), norm: norm)
    }
}

extension CPU {
    package func gated(_ x: Tensor, by layer: GatedConvolution<CPU>, norm: ModulatedNorm<Tensor>?, grid: Grid?) throws(MachineError) -> Tensor {
        try layer.expanded(x, norm, grid ?? Grid(height: x.shape[0], width: x.shape[1]))
    }
}

extension GatedConvolution<CPU> {
    /// Rows of a panel that both halves multiply while the rows are in the second-level cache.
    private static var band: Int { 8 * PackedRows.tile }
    /// Floats of a row of a panel and its gates: an odd number of cache lines, so that neighbours do not fall into the same few sets of the first-level
    /// cache.
    private static var stride: Int { 2 * PackedRows.panel + 16 }

    private static func mapBytes(_ rows: Int) -> Int { rows * stride * MemoryLayout<Float>.stride }

    /// What `gated` takes: the packed rows and a map for each thread, or the wide maps before and behind the depthwise convolution.
    static func footprint(_ rows: Int, _ input: WeightSize, _ compute: Compute, normed: Bool, on cpu: CPU) -> Footprint {
        let hidden = input.shape.rows / 2
        let gated = Tensor.byteCount(rows * hidden)
        if let type = Linear.rowType(input.form, compute, cpu) {
            let packed = PackedRows.footprint(type, rows, input.shape.columns)
            let scratch = mapBytes(rows) + 2 * Linear.scratchBytes(type, PackedRows.panel, input.shape.columns)
            return Footprint(
                kept: gated, passing: max(packed.peak - gated, packed.kept + Memory.byteCount(of: Parallel.scratchBytes(hidden, each: scratch))))
        }
        let wide = cpu.productFootprint(rows, [input], compute, normed: normed, gated: false)
        return Footprint(kept: gated, passing: max(wide.peak - gated, 2 * wide.kept))
    }

    fileprivate func expanded(_ x: Tensor, _ norm: ModulatedNorm<Tensor>?, _ grid: Grid) throws(MachineError) -> Tensor {
        if let type = value.rowType {
            return try expanded(try PackedRows(x, columns: value.inputs, norm, as: type, value.inputTurn, for: value.name, on: value.cpu), grid)
        }
        var hidden = try value.cpu.multiply(x.reshaped([x.count / value.inputs, value.inputs]), by: [value, gate], norm: norm, then: nil)
        value.cpu.apply(.silu, to: &hidden)
        return try value.cpu.siluGated(try depthwise(hidden, maps: grid.maps, height: grid.height, width: grid.width))
    }

    private func expanded(_ rows: PackedRows, _ grid: Grid) throws(MachineError) -> Tensor {
        let (maps, height, width) = (grid.maps, grid.height, grid.width)
        let (hidden, panel) = (value.outputs, PackedRows.panel)
        let stride = Self.stride
        precondition(rows.count == maps * height * width)
        var result = try Tensor([rows.count, hidden], zeroed: false)
        let target = unsafe SharedPointer(result.mutablePointer)
        let mapBytes = Self.mapBytes(rows.count)
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
