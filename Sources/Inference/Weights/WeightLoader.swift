package import Operations
import PackedFiles
import Tensors

/// Makes layers of a source's weights, checking every shape.
struct WeightLoader: Sendable {
    let source: any WeightSource
    /// How linears with weights of 16 or 32 bits compute.
    let compute: Compute

    /// Where linears are taken from that another model has, and kept for others.
    let built: BuiltLayers?

    /// What the layers are loaded for.
    let executor: CPU

    init(source: any WeightSource, on executor: CPU, compute: Compute = .float32, built: BuiltLayers? = nil) {
        (self.source, self.executor, self.compute, self.built) = (source, executor, compute, built)
    }

    /// A weight that computes in float32 whatever it is stored as: norms, biases, tables, depthwise kernels.
    func tensor(_ row: WeightRow) throws(WeightError) -> Tensor {
        let stored = try weight(row)
        return try allocating { () throws(AllocationError) in try stored.widened() }
    }

    private func tensor(_ row: WeightRow?) throws(WeightError) -> Tensor? {
        if let row { try tensor(row) } else { nil }
    }

    func linear(_ rows: Parameters) throws(WeightError) -> Linear {
        try once(rows.name) { () throws(WeightError) in
            let (stored, bias) = (try weight(rows.weight), try tensor(rows.bias))
            return try allocating { () throws(AllocationError) in try Linear(stored, bias: bias, compute: compute, on: executor) }
        }
    }

    func gatedConvolution(_ rows: GatedConvolutionRows) throws(WeightError) -> GatedConvolution {
        let halves = try once(rows.input.name) { () throws(WeightError) in try self.halves(rows.input) }
        return GatedConvolution(
            value: halves[0], gate: halves[1], depthwise: try depthwise(rows.depthwise), project: try linear(rows.output),
            norm: try rows.norm.map { (norm) throws(WeightError) in try self.norm(norm, epsilon: 1e-5) })
    }

    /// The two halves of the outputs of one weight, as linears of their own.
    private func halves(_ rows: Parameters) throws(WeightError) -> [Linear] {
        let (stored, bias) = (try weight(rows.weight), try tensor(rows.bias))
        let (outputs, half) = (rows.weight.shape.rows, rows.weight.shape.rows / 2)
        return try allocating { () throws(AllocationError) in
            func part(_ channels: Range<Int>) throws(AllocationError) -> Linear {
                let bias = try bias.map { (bias) throws(AllocationError) in try bias.rows(channels).reshaped([channels.count]) }
                return try Linear(stored, channels, bias: bias, compute: compute, on: executor)
            }
            return [try part(0..<half), try part(half..<outputs)]
        }
    }

    /// One fused weight, or one for each part.
    func group(_ parts: [Parameters]) throws(WeightError) -> LinearGroup { LinearGroup(try parts.map(linear)) }

    /// - Parameter often: whether it is one of the many that take the autoencoder's time, and worth more memory for less work.
    func convolution(_ rows: Parameters, often: Bool = false) throws(WeightError) -> Convolution {
        let (stored, bias) = (try weight(rows.weight), try tensor(rows.bias))
        return try allocating { () throws(AllocationError) in
            try Convolution(stored, bias: bias, winograd: often && executor.usesWinograd, on: executor)
        }
    }

    func depthwise(_ rows: Parameters) throws(WeightError) -> Depthwise {
        let (weight, bias) = (try tensor(rows.weight), try tensor(rows.bias))
        return try allocating { () throws(AllocationError) in try Depthwise(weight, bias: bias, on: executor) }
    }

    func norm(_ rows: Parameters, offset: Double = 0, epsilon: Double) throws(WeightError) -> RMSNorm {
        RMSNorm(
            weight: try tensor(rows.weight), bias: try tensor(rows.bias), weightOffset: offset, epsilon: source.deviations.normEpsilon ?? epsilon, on: executor)
    }

    /// The stored weight, of the row's shape and of activations that can be computed with.
    private func weight(_ row: WeightRow) throws(WeightError) -> StoredWeight { try checked(try source.weight(row.name), row.name, row.shape) }

    /// Some rows of a stored weight, ascending, each once.
    func rows(_ indices: [Int], of row: WeightRow) throws(WeightError) -> StoredWeight {
        try checked(try source.rows(indices, of: row.name), row.name, Shape([indices.count] + row.shape.extents.dropFirst()))
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

    private func allocating<Layer>(_ make: () throws(AllocationError) -> Layer) throws(WeightError) -> Layer {
        do throws(AllocationError) { return try make() } catch { throw .memory(error) }
    }
}
