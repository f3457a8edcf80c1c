import Tensors

/// Makes layers of a source's weights, checking every shape.
struct WeightLoader: Sendable {
    let source: any WeightSource

    /// A weight that computes in float32 whatever it is stored as: norms, biases, tables, depthwise kernels.
    func tensor(_ name: String, _ shape: Shape) throws(WeightError) -> Tensor {
        let stored = try weight(name, shape)
        do throws(AllocationError) {
            switch stored {
            case .plain(let tensor): return try tensor.widened()
            case .int8PerChannel(let values, let scales, _): return try values.scaledRows(by: scales)
            }
        } catch { throw .memory(error) }
    }

    func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) throws(WeightError) -> Linear {
        let stored = try weight(name + ".weight", [outputs, inputs])
        return try layer(stored, bias: bias ? try tensor(name + ".bias", [outputs]) : nil)
    }

    /// The fused weight `prefix + fused`, or one weight for each of `parts`.
    func group(_ prefix: String, fused: String?, _ parts: [(name: String, outputs: Int)], inputs: Int, bias: Bool) throws(WeightError) -> LinearGroup {
        if let fused {
            return LinearGroup([try linear(prefix + fused, parts.reduce(0) { $0 + $1.outputs }, inputs, bias: bias)])
        }
        var linears: [Linear] = []
        for part in parts { linears.append(try linear(prefix + part.name, part.outputs, inputs, bias: bias)) }
        return LinearGroup(linears)
    }

    func convolution(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool = true) throws(WeightError) -> Convolution {
        let stored = try weight(name + ".weight", [outputs, 3, 3, inputs])
        return Convolution(try layer(stored, bias: bias ? try tensor(name + ".bias", [outputs]) : nil))
    }

    func depthwise(_ name: String, channels: Int, kernel: Int, bias: Bool) throws(WeightError) -> Depthwise {
        let weight = try tensor(name + ".weight", [channels, kernel, kernel])
        let bias = bias ? try tensor(name + ".bias", [channels]) : nil
        do throws(AllocationError) { return try Depthwise(weight, bias: bias) } catch { throw .memory(error) }
    }

    func norm(_ name: String, _ channels: Int, bias: Bool = false, offset: Double = 0, epsilon: Double) throws(WeightError) -> RMSNorm {
        RMSNorm(
            weight: try tensor(name + ".weight", [channels]), bias: bias ? try tensor(name + ".bias", [channels]) : nil, weightOffset: offset,
            epsilon: source.deviations.normEpsilon ?? epsilon)
    }

    /// The stored weight, of the given shape and a type that can be computed with.
    func weight(_ name: String, _ shape: Shape) throws(WeightError) -> StoredWeight {
        let stored = try source.weight(name)
        guard stored.shape == shape else { throw .wrongShape(name: name, expected: shape, found: stored.shape) }
        switch stored {
        case .plain(let tensor):
            guard [.f16, .bf16, .f32, .f64].contains(tensor.dtype) else {
                throw .unreadable(name: name, reason: "expected F16, BF16, F32 or F64, found \(tensor.dtype.rawValue)")
            }
        case .int8PerChannel(let values, let scales, _):
            guard values.dtype == .i8, scales.count == shape.rows else {
                throw .unreadable(name: name, reason: "expected I8 values with \(shape.rows) scales, found \(values.dtype.rawValue) with \(scales.count)")
            }
        }
        return stored
    }

    private func layer(_ stored: StoredWeight, bias: Tensor?) throws(WeightError) -> Linear {
        do throws(AllocationError) { return try Linear(stored, bias: bias) } catch { throw .memory(error) }
    }
}

extension EncodedTensor {
    /// int8 rows times one scale each.
    func scaledRows(by scales: Tensor) throws(AllocationError) -> Tensor {
        var result = try widened()
        let (columns, factors) = (shape.columns, scales.elements)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] *= factors[index / columns] }
        return result
    }
}
