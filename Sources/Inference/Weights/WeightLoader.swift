package import Operations
import PackedFiles
import Tensors

/// Makes layers of a source's weights, checking every shape.
package struct WeightLoader: Sendable {
    let source: any WeightSource
    /// How linears with weights of 16 or 32 bits compute.
    let compute: Compute

    /// Where layers are taken from that have been built, and kept.
    let built: BuiltLayers?

    /// What the layers are loaded for.
    let executor: CPU

    package init(source: any WeightSource, on executor: CPU, compute: Compute = .float32, built: BuiltLayers? = nil) {
        (self.source, self.executor, self.compute, self.built) = (source, executor, compute, built)
    }

    /// A weight that computes in float32 whatever it is stored as: norms, biases, tables, depthwise kernels.
    func tensor(_ name: String, _ shape: Shape) throws(WeightError) -> Tensor {
        try once(name) { () throws(WeightError) in try floats(name, shape) }
    }

    /// The same for a layer that takes it in.
    private func floats(_ name: String, _ shape: Shape) throws(WeightError) -> Tensor {
        let stored = try weight(name, shape)
        do throws(AllocationError) {
            return try stored.widened()
        } catch { throw .memory(error) }
    }

    func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) throws(WeightError) -> Linear {
        try once(name) { () throws(WeightError) in
            let stored = try weight(name + ".weight", [outputs, inputs])
            return try layer(stored, bias: bias ? try floats(name + ".bias", [outputs]) : nil)
        }
    }

    /// Packed names below `prefix` are `in`, `depth`, `out` and, where it has a norm, `norm`.
    package func gatedConvolution(_ prefix: String, channels: Int, hidden: Int, norm: Bool) throws(WeightError) -> GatedConvolution {
        let (value, gate) = try halves(prefix + "in", 2 * hidden, channels)
        return GatedConvolution(
            value: value, gate: gate, depthwise: try depthwise(prefix + "depth", channels: 2 * hidden, kernel: 3, bias: true),
            project: try linear(prefix + "out", channels, hidden, bias: false),
            norm: norm ? try self.norm(prefix + "norm", channels, bias: true, epsilon: 1e-5) : nil)
    }

    /// The two halves of the outputs of one weight with a bias, as linears of their own.
    private func halves(_ name: String, _ outputs: Int, _ inputs: Int) throws(WeightError) -> (Linear, Linear) {
        let halves = try once(name) { () throws(WeightError) in try split(name, outputs, inputs) }
        return (halves[0], halves[1])
    }

    private func split(_ name: String, _ outputs: Int, _ inputs: Int) throws(WeightError) -> [Linear] {
        let (stored, bias) = (try weight(name + ".weight", [outputs, inputs]), try floats(name + ".bias", [outputs]))
        let half = outputs / 2
        func part(_ channels: Range<Int>) throws(AllocationError) -> Linear {
            try Linear(stored, channels, bias: try bias.rows(channels).reshaped([channels.count]), compute: compute, on: executor)
        }
        do throws(AllocationError) { return [try part(0..<half), try part(half..<outputs)] } catch { throw .memory(error) }
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

    /// - Parameter often: whether it is one of the many that take the autoencoder's time, and worth more memory for less work.
    func convolution(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool = true, often: Bool = false) throws(WeightError) -> Convolution {
        try once(name) { () throws(WeightError) in
            let stored = try weight(name + ".weight", [outputs, 3, 3, inputs])
            let bias = bias ? try floats(name + ".bias", [outputs]) : nil
            do throws(AllocationError) { return try Convolution(stored, bias: bias, winograd: often && executor.usesWinograd, on: executor) } catch {
                throw .memory(error)
            }
        }
    }

    func depthwise(_ name: String, channels: Int, kernel: Int, bias: Bool) throws(WeightError) -> Depthwise {
        try once(name) { () throws(WeightError) in
            let weight = try floats(name + ".weight", [channels, kernel, kernel])
            let bias = bias ? try floats(name + ".bias", [channels]) : nil
            do throws(AllocationError) { return try Depthwise(weight, bias: bias, on: executor) } catch { throw .memory(error) }
        }
    }

    func norm(_ name: String, _ channels: Int, bias: Bool = false, offset: Double = 0, epsilon: Double) throws(WeightError) -> RMSNorm {
        RMSNorm(
            weight: try tensor(name + ".weight", [channels]), bias: bias ? try tensor(name + ".bias", [channels]) : nil, weightOffset: offset,
            epsilon: source.deviations.normEpsilon ?? epsilon, on: executor)
    }

    /// The stored weight, of the given shape and activations that can be computed with.
    func weight(_ name: String, _ shape: Shape) throws(WeightError) -> StoredWeight { try checked(try source.weight(name), name, shape) }

    /// Some rows of a stored weight of the given shape, ascending, each once.
    func rows(_ indices: [Int], of name: String, _ shape: Shape) throws(WeightError) -> StoredWeight {
        try checked(try source.rows(indices, of: name), name, Shape([indices.count] + shape.extents.dropFirst()))
    }

    private func checked(_ stored: StoredWeight, _ name: String, _ shape: Shape) throws(WeightError) -> StoredWeight {
        guard stored.shape == shape else { throw .wrongShape(name: name, expected: shape, found: stored.shape) }
        guard stored.scheme.matches(stored.planes, shape) else {
            throw .unreadable(
                name: name, reason: "expected the planes \(stored.scheme.planes(for: shape)), found \(stored.planes.map { "\($0.dtype.rawValue) \($0.shape)" })"
            )
        }
        if stored.activations == .int8PerToken {
            guard stored.form.multipliesIntegers, stored.scheme.activations(for: shape).contains(.int8PerToken) else {
                throw .unreadable(
                    name: name, reason: "expected the activations float, found int8-per-token: \(stored.scheme) \(shape) has no integer arithmetic")
            }
        }
        return stored
    }

    private func once<Layer: Sendable>(_ name: String, _ make: () throws(WeightError) -> Layer) throws(WeightError) -> Layer {
        if let built { try built.layer(name, make) } else { try make() }
    }

    private func layer(_ stored: StoredWeight, bias: Tensor?) throws(WeightError) -> Linear {
        do throws(AllocationError) { return try Linear(stored, bias: bias, compute: compute, on: executor) } catch { throw .memory(error) }
    }
}
