internal import CGPUKernels
internal import CUDADriver
internal import Tensors

extension Engine {
    /// Writes the outputs of a linear in float arithmetic and moves on behind them: sums in float32, of a single row in two floats.
    func multiply(_ x: DeviceRows, by linear: DeviceLinear, into outputs: inout Outputs) throws(MachineError) {
        let (values, type, scales, pitch, narrow): (Block, cg_int, DeviceRows?, Int, (type: NarrowType, layer: UInt32)?)
        switch linear.weight {
        case .floats(let block, let kind, let factors): (values, type, scales, pitch, narrow) = (block, kind, factors, linear.inputs, nil)
        case .narrow(let block, let kind, let layer):
            (values, type, scales, pitch, narrow) = (block, kind.code, nil, DeviceForm.narrow(kind).pitch(linear.inputs) / 2, (kind, layer))
        case .integers: preconditionFailure("codes are multiplied as integers")
        }
        let argument = cg_floats(
            x: x.address, w: values.address, s: scales?.address ?? 0, bias: linear.bias?.address ?? 0, y: outputs.address, gate: outputs.gate?.address ?? 0,
            rows: cg_int(x.rows), columns: cg_int(linear.outputs), depth: cg_int(linear.inputs), ldx: cg_int(x.channels), ldw: cg_int(pitch),
            ldy: outputs.stride, weight: type, silu: outputs.silu ? 1 : 0, adds: outputs.adds ? 1 : 0, narrows: narrow?.type.code ?? 0,
            layer: narrow?.layer ?? 0, beyond: try narrow?.type == .float16 ? beyond.address : 0)
        if x.rows == 1 {
            try launch("row_product", grid: (Self.pieces(linear.outputs, of: 8), 1, 1), argument)
        } else {
            try launchBest("gemm_f32_", rows: x.rows, columns: [linear.outputs], argument)
        }
        outputs.column += linear.outputs
    }
}
