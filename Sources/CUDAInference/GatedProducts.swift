internal import CGPUKernels
package import Operations
package import Tensors

extension Engine {
    /// What the last product of a gated convolution takes, `[rows, hidden]`: both halves of the first, side by side, through SiLU and the depthwise
    /// convolution, and of that the first half times SiLU of the second.
    package func gated(
        _ x: DeviceRows, by halves: [DeviceLinear], norm: ModulatedNorm<DeviceRows>?, _ depthwise: DeviceDepthwise, _ grid: Grid
    ) throws(MachineError) -> DeviceRows {
        let hidden = try multiply(x.reshaped([x.rows, x.channels]), by: halves, norm: norm, then: .silu)
        let half = hidden.channels / 2
        precondition(hidden.rows == grid.maps * grid.height * grid.width && depthwise.channels == hidden.channels && depthwise.kernel == 3)
        let result = try fresh([hidden.rows, half])
        guard hidden.rows > 0 else { return result }
        var argument = cg_depthwise(
            x: hidden.address, w: depthwise.weight.address, bias: depthwise.bias?.address ?? 0, y: result.address, count: UInt32(result.count),
            height: cg_int(grid.height), width: cg_int(grid.width), channels: cg_int(hidden.channels), kernel: 3)
        let strips = grid.height * Self.pieces(grid.width, of: 8)
        // Maps below one another, as many at a time as a grid has blocks in its second direction.
        let most = Self.mostBlocks / strips
        guard most > 0 else {
            // A map too large for that: the same in two steps.
            let wide = try fresh(hidden.shape)
            (argument.y, argument.count) = (wide.address, UInt32(wide.count))
            try launch("depthwise", grid: (Self.pieces(wide.count, of: 1024), 1, 1), argument)
            try gate("gate_silu", wide, into: result)
            return result
        }
        for first in stride(from: 0, to: grid.maps, by: most) {
            let some = min(most, grid.maps - first)
            let pixels = grid.height * grid.width
            (argument.x, argument.y) = (hidden.address(at: first * pixels * hidden.channels), result.address(at: first * pixels * half))
            argument.count = UInt32(some * pixels * half)
            try launch("gate_depthwise", grid: (Self.pieces(half, of: 256), some * strips, 1), argument)
        }
        return result
    }

    /// Whether maps of so many pixels in all may be gated in two steps.
    static func mayGateInSteps(_ rows: Int) -> Bool { pieces(rows, of: 4) > mostBlocks }
}
