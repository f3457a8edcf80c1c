package import Operations
internal import Tensors

/// Bytes on the device: what layers and operations are given there, by the sizes that `Engine.take` gives. What a weight is made of passes through the
/// host's memory, a few rows at a time.
extension CUDA {
    package func byteCount(of values: Int) -> Int { Engine.size(of: values) }

    /// All of it: the work that has weights may not have come to them when the next are on their way.
    package func lingering(_ byteCount: Int) -> Int { byteCount }

    package func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint {
        switch kind {
        case .linear(let compute, let cut): DeviceLinear.footprint(of: weight, compute, cut: cut)
        case .convolution: DeviceConvolution.footprint(of: weight)
        case .depthwise: DeviceDepthwise.footprint(of: weight)
        case .values: Footprint(kept: Engine.size(of: weight.shape.elementCount))
        }
    }

    package func footprint(of work: Work) -> Footprint {
        switch work {
        case .product(let rows, let weights, let compute, let normed, let gated):
            DeviceLinear.footprint(rows, weights, compute, normed: normed, gated: gated)
        case .addedProduct(let rows, let weight, let compute): Footprint(passing: DeviceLinear.operandBytes(rows, [weight], compute, normed: false))
        case .gated(let rows, let weight, let compute, let normed): DeviceLinear.gatedFootprint(rows, weight, compute, normed: normed)
        case .linearAttention(let rows, let width, let d, let scales): LinearAttention.deviceFootprint(rows, width, d, scales)
        case .keyValues(let tokens, let heads, let d): Footprint(kept: Engine.size(of: tokens * 2 * heads * d))
        case .crossAttention(let rows, _, let heads, let d): Footprint(kept: Engine.size(of: rows * heads * d))
        case .causalAttention(let rows, let prefix, let attention): attention.deviceFootprint(rows, prefix)
        // Places for inputs, and the result there and as it is given away.
        case .again(let inputs, let result): Footprint(kept: inputs.reduce(2 * Engine.size(of: result)) { $0 + Engine.size(of: $1) })
        case .rows(let operations, let height, let width, let channels):
            engine.footprint(operations, height: height, width: width, channels: channels)
        }
    }
}

extension DeviceLinear {
    /// What the linear of a weight takes; cut, it is two of half the outputs.
    static func footprint(of weight: WeightSize, _ compute: Compute, cut: Bool) -> Footprint {
        let (form, parts) = (DeviceForm(weight.form, compute), cut ? 2 : 1)
        let (outputs, inputs) = (Engine.pieces(weight.shape.rows, of: parts), weight.shape.columns)
        let scales = form == .integers || form == .codes ? Engine.size(of: outputs) : 0
        let factors = form == .integers && weight.form.turnsInputs ? Engine.size(of: inputs) : 0
        return Footprint(kept: parts * (Engine.size(for: outputs * form.pitch(inputs)) + scales + factors))
    }

    /// `multiply`: its result, and what is made of its input.
    static func footprint(_ rows: Int, _ weights: [WeightSize], _ compute: Compute, normed: Bool, gated: Bool) -> Footprint {
        let outputs = weights.reduce(0) { $0 + $1.shape.rows }
        let result = Engine.size(of: rows * outputs)
        let passing = operandBytes(rows, weights, compute, normed: normed)
        guard gated else { return Footprint(kept: result, passing: passing) }
        let half = Engine.size(of: rows * outputs / 2)
        return Footprint(kept: half, passing: max(result + passing - half, result))
    }

    /// The input in the form that the products of weights want, and before that normed where no quantizer norms.
    static func operandBytes(_ rows: Int, _ weights: [WeightSize], _ compute: Compute, normed: Bool) -> Int {
        let (forms, inputs) = (weights.map { DeviceForm($0.form, compute) }, weights[0].shape.columns)
        // Weights that turn their inputs may each do it in a way of its own.
        let agree = weights.allSatisfy { $0.form == weights[0].form } && !(weights.count > 1 && weights[0].form.turnsInputs)
        let fuses = forms[0] == .integers && agree
        return (normed && !fuses ? Engine.size(of: rows * inputs) : 0) + (forms.map { Operand.byteCount($0, rows, inputs) }.max() ?? 0)
            + (agree ? 0 : asideBytes(rows, weights.map(\.shape.rows)))
    }

    /// Outputs of several kinds of linears that are made aside, since they begin where no four values do.
    private static func asideBytes(_ rows: Int, _ outputs: [Int]) -> Int {
        let all = outputs.reduce(0, +)
        var column = 0
        let begins = outputs.map { width in
            defer { column += width }
            return column
        }
        return begins.allSatisfy { Outputs.takeFours(from: $0, of: all) } ? 0 : Engine.size(of: rows * (all - outputs[0]))
    }

    /// `gated`: both halves, and what one makes of the other.
    static func gatedFootprint(_ rows: Int, _ weight: WeightSize, _ compute: Compute, normed: Bool) -> Footprint {
        let hidden = footprint(rows, [weight], compute, normed: normed, gated: false)
        let gated = Engine.size(of: rows * weight.shape.rows / 2)
        let steps = Engine.mayGateInSteps(rows) ? hidden.kept : 0
        return Footprint(kept: gated, passing: max(hidden.peak - gated, hidden.kept + steps))
    }
}

extension LinearAttention {
    /// The result, with sums of the tokens, and a scale's q, k and v through one convolution and the other.
    static func deviceFootprint(_ rows: Int, _ width: Int, _ d: Int, _ scales: Int) -> Footprint {
        let heads = width / d
        let sums = Engine.size(of: heads * parts(rows) * partElements(d)) + Engine.size(of: heads * parts(rows) * totalElements(d))
        let mixed = scales > 0 ? Engine.size(of: rows * 3 * width) : 0
        return Footprint(kept: Engine.size(of: rows * width * (1 + scales)), passing: max(sums + mixed, 2 * mixed))
    }
}

extension SoftmaxAttention {
    /// The attention, and keys and values of prefix and rows.
    func deviceFootprint(_ rows: Int, _ prefix: Int) -> Footprint {
        Footprint(kept: Engine.size(of: rows * heads * headDimension) + Engine.size(of: (prefix + rows) * 2 * keyValueHeads * headDimension))
    }
}
