import Operations
import PackedFiles
import Tensors

/// Makes layers of a source's weights, checking every shape.
struct WeightLoader<E: Executor>: Sendable {
    let source: any WeightSource
    /// How linears with weights of 16 or 32 bits compute.
    let compute: Compute

    /// Where layers are taken from that have been built, and kept.
    let built: BuiltLayers?

    /// What the layers are loaded for.
    let executor: E

    init(source: any WeightSource, on executor: E, compute: Compute = .float32, built: BuiltLayers? = nil) {
        (self.source, self.executor, self.compute, self.built) = (source, executor, compute, built)
    }

    /// A table that stays with the values: of modulations, of a frozen schedule.
    func rows(_ row: WeightRow) throws(InferenceError) -> E.Rows {
        try once(row.name) { () throws(InferenceError) in
            let floats = try floats(row)
            return try allocating(try executor.rows(from: floats))
        }
    }

    /// Its values in float32, whatever they are stored as.
    private func floats(_ row: WeightRow) throws(InferenceError) -> Tensor {
        let stored = try weight(row)
        return try allocating(try stored.widened())
    }

    /// A layer's stored weight and bias, read when the layer is built.
    private func layer<Layer: Sendable>(
        _ rows: Parameters, _ make: (StoredWeight, Tensor?) throws(MachineError) -> Layer
    ) throws(InferenceError) -> Layer {
        try once(rows.name) { () throws(InferenceError) in
            let stored = try weight(rows.weight)
            let bias = try rows.bias.map(floats)
            return try allocating(try make(stored, bias))
        }
    }

    func linear(_ rows: Parameters) throws(InferenceError) -> E.Linear {
        try layer(rows) { stored, bias throws(MachineError) in
            try executor.linear(stored, 0..<stored.shape.rows, bias: bias, compute: compute)
        }
    }

    func gatedConvolution(_ rows: GatedConvolutionRows) throws(InferenceError) -> GatedConvolution<E> {
        let halves = try halves(rows.input)
        return GatedConvolution(
            value: halves[0], gate: halves[1], depthwise: try depthwise(rows.depthwise), project: try linear(rows.output),
            norm: try rows.norm.map { (norm) throws(InferenceError) in try self.norm(norm, epsilon: 1e-5) })
    }

    /// The two halves of the outputs of one weight, as linears of their own.
    func halves(_ rows: Parameters) throws(InferenceError) -> [E.Linear] {
        try layer(rows) { stored, bias throws(MachineError) in
            func part(_ channels: Range<Int>) throws(MachineError) -> E.Linear {
                let bias = try bias.map { (bias) throws(MachineError) in try bias.rows(channels).reshaped([channels.count]) }
                return try executor.linear(stored, channels, bias: bias, compute: compute)
            }
            let half = stored.shape.rows / 2
            return [try part(0..<half), try part(half..<2 * half)]
        }
    }

    /// One fused weight, or one for each part.
    func group(_ parts: [Parameters]) throws(InferenceError) -> [E.Linear] { try parts.map(linear) }

    /// - Parameter often: whether it is one of the many that take the autoencoder's time, and worth more memory for less work.
    func convolution(_ rows: Parameters, often: Bool = false) throws(InferenceError) -> E.Convolution {
        try layer(rows) { stored, bias throws(MachineError) in try executor.convolution(stored, bias: bias, often: often) }
    }

    func depthwise(_ rows: Parameters) throws(InferenceError) -> E.Depthwise {
        try layer(rows) { stored, bias throws(MachineError) in try executor.depthwise(stored, bias: bias) }
    }

    func pointwise(_ rows: Parameters) throws(InferenceError) -> E.Pointwise {
        try layer(rows) { stored, _ throws(MachineError) in try executor.pointwise(stored) }
    }

    func norm(_ rows: Parameters, offset: Double = 0, epsilon: Double) throws(InferenceError) -> E.Norm {
        let epsilon = source.deviations.normEpsilon ?? epsilon
        return try layer(rows) { stored, bias throws(MachineError) in
            try executor.norm(weight: try stored.widened(), bias: bias, offset: offset, epsilon: epsilon)
        }
    }

    /// The stored weight, of the row's shape and of activations that can be computed with.
    private func weight(_ row: WeightRow) throws(InferenceError) -> StoredWeight { try checked(try source.weight(row.name), row.name, row.shape) }

    /// Some rows of a stored weight, ascending, each once.
    func rows(_ indices: [Int], of row: WeightRow) throws(InferenceError) -> StoredWeight {
        try checked(try source.rows(indices, of: row.name), row.name, Shape([indices.count] + row.shape.extents.dropFirst()))
    }

    private func checked(_ stored: StoredWeight, _ name: String, _ shape: Shape) throws(InferenceError) -> StoredWeight {
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
        var named = stored
        named.name = name
        return named
    }

    private func once<Layer: Sendable>(_ name: String, _ make: () throws(InferenceError) -> Layer) throws(InferenceError) -> Layer {
        if let built { try built.layer(name, make) } else { try make() }
    }
}
