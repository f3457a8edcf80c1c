package import Tensors

/// Linears of one input whose outputs stand side by side: one fused weight, or several where the fusion is off.
package struct LinearGroup: Sendable {
    private let parts: [Linear]
    package let outputs: Int

    package init(_ parts: [Linear]) {
        self.parts = parts
        outputs = parts.reduce(0) { $0 + $1.outputs }
    }

    /// x [rows, inputs] to [rows, outputs of all parts].
    package func callAsFunction(_ x: Tensor) throws(AllocationError) -> Tensor {
        var result = try Tensor([x.rows, outputs], zeroed: false)
        var column = 0
        for part in parts {
            unsafe try part.apply(x.pointer, rows: x.rows, to: result.mutablePointer + column, stride: outputs)
            column += part.outputs
        }
        return result
    }
}
