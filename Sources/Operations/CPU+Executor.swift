package import Tensors

/// The layers of models on this machine's processor, and operations that are made of others.
extension CPU: Executor {
    package typealias Linear = Operations.Linear
    package typealias Convolution = Operations.Convolution
    package typealias Depthwise = Operations.Depthwise

    package func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> Linear {
        try Linear(stored, outputs, bias: bias, compute: compute, on: self)
    }

    package func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> Convolution {
        try Convolution(stored, bias: bias, winograd: often && usesWinograd, on: self)
    }

    package func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> Depthwise {
        try Depthwise(try stored.widened(), bias: bias, on: self)
    }

    package func pointwise(_ stored: StoredWeight) throws(MachineError) -> GroupedPointwise { GroupedPointwise(try stored.widened()) }

    package func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) -> RMSNorm {
        RMSNorm(weight: weight, bias: bias, weightOffset: offset, epsilon: epsilon, on: self)
    }

    /// A copy, which is updated in place.
    package func rows(from tensor: Tensor) throws(MachineError) -> Tensor { try tensor.copy() }
    /// Shared: to be read before the rows are updated.
    package func tensor(from rows: Tensor) -> Tensor { rows }

    package func add(_ x: Tensor, by linear: Linear, to residual: inout Tensor, gate: Tensor?) throws(MachineError) {
        try linear.add(x, to: &residual, gate: gate)
    }

    package func normed(_ x: Tensor, by norm: RMSNorm) throws(MachineError) -> Tensor { try norm(x) }

    package func add(_ x: Tensor, normedBy norm: RMSNorm, to residual: inout Tensor) throws(MachineError) { add(try norm(x), to: &residual) }

    package func row(_ index: Int, of x: Tensor) throws(MachineError) -> Tensor { try x.row(index) }

    package func linearAttention(
        _ qkv: inout Tensor, _ layout: LinearAttention.Layout, queryNorm: RMSNorm?, keyNorm: RMSNorm?, scales: [(Depthwise, GroupedPointwise)], maps: Int
    ) throws(MachineError) -> Tensor {
        let (channels, width) = (qkv.channels, qkv.channels / 3)
        queryNorm?.apply(&qkv, column: 0)
        keyNorm?.apply(&qkv, column: width)
        let rows: Shape = [qkv.count / channels, channels]
        var attended = try Tensor([rows[0], width * (1 + scales.count)], zeroed: false)
        linearAttention(qkv.reshaped(rows), layout, into: &attended, maps: maps)
        for (index, (depthwise, pointwise)) in scales.enumerated() {
            let mixed = try pointwise(try depthwise(qkv))
            linearAttention(mixed.reshaped(rows), layout, into: &attended, column: (1 + index) * width)
        }
        return attended.reshaped(Shape(qkv.shape.extents.dropLast() + [attended.columns]))
    }

    package func keyValues(_ rows: inout Tensor, keyNorm: RMSNorm?, heads: Int, headDimension: Int) throws(MachineError) -> PackedKeyValues {
        keyNorm?.apply(&rows, column: 0)
        return try PackedKeyValues(rows, heads: heads, headDimension: headDimension, on: self)
    }

    package func crossAttention(_ queries: inout Tensor, queryNorm: RMSNorm?, to prompts: [PackedKeyValues]) throws(MachineError) -> Tensor {
        queryNorm?.apply(&queries, column: 0)
        return try PackedKeyValues.attend(queries, to: prompts)
    }

    package func causalAttention(
        _ qkv: inout Tensor, after prefix: Tensor?, _ attention: SoftmaxAttention, rotary: Tensor
    ) throws(MachineError) -> (attended: Tensor, keyValues: Tensor) {
        let (queries, keys) = (attention.heads * attention.headDimension, attention.keyValueHeads * attention.headDimension)
        Rotary.apply(rotary, to: &qkv, column: 0, heads: attention.heads)
        Rotary.apply(rotary, to: &qkv, column: queries, heads: attention.keyValueHeads)
        let own = try qkv.columns(queries..<queries + 2 * keys)
        let keyValues = if let prefix { try Tensor(stacking: [prefix, own]) } else { own }
        let attended = try attention(
            .init(matrix: qkv, column: 0), .init(matrix: keyValues, column: 0), .init(matrix: keyValues, column: keys), firstRow: prefix?.rows ?? 0, on: self)
        return (attended, keyValues)
    }
}

extension Tensor {
    /// Extent of the last axis.
    var channels: Int { shape[shape.rank - 1] }
}
