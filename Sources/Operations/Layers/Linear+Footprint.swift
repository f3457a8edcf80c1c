import CKernels
import Tensors

extension Linear {
    /// What the linear of a weight takes.
    /// - Parameter cut: whether it is of some of the outputs alone, which are copied.
    static func footprint(of weight: WeightSize, _ compute: Compute, cut: Bool, on cpu: CPU) -> Footprint {
        let (outputs, inputs) = (weight.shape.rows, weight.shape.columns)
        // Of the outputs, and of the inputs where these are turned.
        let scales = weight.form.multipliesIntegers ? Tensor.byteCount(outputs) + (weight.form.turnsInputs ? Tensor.byteCount(inputs) : 0) : 0
        if let type = panelType(weight.form, compute, cpu) {
            // Rounding goes through float32: a panel of each thread, or all of a weight that no kernel knows.
            let decoded = weight.form.multipliesIntegers ? 0 : Parallel.scratchBytes(outputs, each: panelScratchBytes(inputs))
            return Footprint(
                kept: Memory.byteCount(of: ck_packed_weight_bytes(type.code, outputs, inputs)) + scales,
                passing: (weight.form == .float32 ? weight.widenedBytes : weight.planeBytes) + weight.expandedBytes + decoded)
        }
        if compute == .float16, !weight.form.multipliesIntegers {
            // Rounding goes through float32.
            return Footprint(
                kept: Memory.byteCount(of: 2 * weight.shape.elementCount), passing: weight.planeBytes + weight.expandedBytes + weight.floatBytes)
        }
        if weight.form.multipliesIntegers {
            return Footprint(
                kept: Memory.byteCount(of: ck_w8a8_packed_bytes(cpu.isa, outputs, inputs)) + scales,
                passing: (cut ? 2 : 1) * max(weight.planeBytes, weight.expandedBytes) + (weight.expandedBytes > 0 ? weight.planeBytes : 0))
        }
        if weight.expandedBytes > 0 { return Footprint(kept: weight.expandedBytes + Tensor.byteCount(outputs), passing: (cut ? 2 : 1) * weight.planeBytes) }
        // Planes that are multiplied as they are stay.
        let isShared = !cut && (weight.form != .float32 || weight.isFloat32)
        return Footprint(kept: weight.form == .float32 ? weight.floatBytes : weight.planeBytes, passing: isShared ? 0 : weight.planeBytes)
    }

    /// `add`: the packed rows and the sums, or the product.
    static func addedFootprint(_ rows: Int, _ weight: WeightSize, _ compute: Compute, on cpu: CPU) -> Footprint {
        let result = Tensor.byteCount(rows * weight.shape.rows)
        guard let type = rowType(weight.form, compute, cpu) else { return Footprint(passing: result + applyBytes(weight, rows, compute, on: cpu)) }
        return Footprint(passing: packedBytes(type, [weight], rows, beside: result))
    }

    /// Rows packed for several products that come one after the other, each with its scratch.
    fileprivate static func packedBytes(_ type: PackedType, _ weights: [WeightSize], _ rows: Int, beside other: Int = 0) -> Int {
        let inputs = weights[0].shape.columns
        let packed = PackedRows.footprint(type, rows, inputs)
        return max(packed.peak, packed.kept + other + (weights.map { productBytes(type, $0.shape.rows, inputs) }.max() ?? 0))
    }

    fileprivate static func takesDenseRows(_ weight: WeightSize, _ compute: Compute, _ rows: Int) -> Bool {
        weight.form == .scaledRows && compute == .float32 && rows <= fewRows
    }

    /// Scratch of `apply`.
    fileprivate static func applyBytes(_ weight: WeightSize, _ rows: Int, _ compute: Compute, on cpu: CPU) -> Int {
        let (outputs, inputs) = (weight.shape.rows, weight.shape.columns)
        if takesDenseRows(weight, compute, rows) { return 0 }
        if let type = rowType(weight.form, compute, cpu), rows > 1 || type != .float32 { return packedBytes(type, [weight], rows) }
        switch weight.form {
        case .integers(let turn):
            return (turn > 1 ? Tensor.byteCount(rows * inputs) : 0) + Memory.byteCount(of: rows * inputs) + Tensor.byteCount(rows)
        case _ where rows == 1: return Parallel.scratchBytes(outputs, each: cachedChannels(inputs) * inputs * MemoryLayout<Float>.stride)
        case .float32: return 0
        case .half, .scaledRows: return Tensor.byteCount(decodedChannels(outputs, inputs) * inputs)
        }
    }
}

extension CPU {
    /// `multiply`: its result, and rows packed or normed with the scratch of the products.
    func productFootprint(_ rows: Int, _ weights: [WeightSize], _ compute: Compute, normed: Bool, gated: Bool) -> Footprint {
        let outputs = weights.reduce(0) { $0 + $1.shape.rows }
        let types = weights.map { Linear.rowType($0.form, compute, self) }
        // Weights that turn their inputs may each do it in a way of its own.
        let agree = types.allSatisfy { $0 == types[0] } && !(weights.count > 1 && weights.contains { $0.form.turnsInputs })
        let passing: Int
        if agree, let type = types[0], normed || !weights.contains(where: { Linear.takesDenseRows($0, compute, rows) }) {
            passing = Linear.packedBytes(type, weights, rows)
        } else {
            passing =
                (normed ? Tensor.byteCount(rows * weights[0].shape.columns) : 0) + (weights.map { Linear.applyBytes($0, rows, compute, on: self) }.max() ?? 0)
        }
        let result = Tensor.byteCount(rows * outputs)
        guard gated else { return Footprint(kept: result, passing: passing) }
        let half = Tensor.byteCount(rows * outputs / 2)
        return Footprint(kept: half, passing: max(result + passing - half, result))
    }
}
