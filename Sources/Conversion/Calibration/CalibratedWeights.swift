import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Tensors

/// The linears that a plan leaves a choice about, and the rows of them that it is measured with.
struct CalibratedWeights {
    /// Packed names, in the order of the file: linears of integer products that no rule decides about.
    let names: [String]
    let linearPairs: [LinearPair]
    private let tensors: [String: PlannedTensor]
    private let weights: CheckpointWeights

    init(_ plan: ConversionPlan) throws(ConversionError) {
        let open = plan.tensors.filter(\.isOpen)
        names = open.map(\.name)
        tensors = Dictionary(uniqueKeysWithValues: open.map { ($0.name, $0) })
        let fusions = plan.options.fusions
        weights = try CheckpointWeights(
            plan.checkpoint, fusions: fusions, components: .listed(plan.components.filter(\.hasWeights)), edit: plan.edit)
        linearPairs = SanaSprintWeights.linearPairs(try WeightResolution.configuration(of: plan.checkpoint), fusions: fusions)
    }

    /// What the preset stores it as.
    func usualStorage(_ name: String) -> Storage { tensors[name]?.storage ?? Storage(.f32) }
    /// What it is stored as where no int8 will do.
    func keptStorage(_ name: String) -> Storage { Storage(QuantizationPolicy.kept(tensors[name]?.sources.map(\.dtype) ?? [])) }

    /// Some rows, or as many as there are, evenly spread.
    func sampled(_ name: String) throws(ConversionError) -> SampledWeight {
        let rows = tensors[name]?.row.shape.rows ?? 0
        let count = min(rows, LayerChoices.mostRows)
        return try self.rows((0..<count).map { $0 * rows / count }, of: name)
    }

    /// - Parameter indices: ascending, each once.
    func rows(_ indices: [Int], of name: String) throws(ConversionError) -> SampledWeight {
        let stored = try wrapping(ConversionError.calibration, try weights.rows(indices, of: name))
        return SampledWeight(
            values: try wrapping(ConversionError.memory, try stored.widened()), rowsAreRelative: linearPairs.contains { $0.producer == name })
    }

    /// Statistics of nothing yet.
    func emptyLayers() throws(ConversionError) -> [String: InputStatistics.Layer] {
        var layers: [String: InputStatistics.Layer] = [:]
        for name in names {
            let weight = try sampled(name)
            layers[name] = InputStatistics.Layer(inputs: weight.columns, weightDigest: weight.digest)
        }
        return layers
    }
}

/// Rows of a weight in float32, `[rows, inputs]`.
struct SampledWeight {
    let values: Tensor
    /// Whether the size of a row says nothing, because the weight behind it can undo it: a row then counts by what it is in units of itself.
    let rowsAreRelative: Bool

    var columns: Int { values.columns }
    var digest: String { SHA256Stream.digest(EncodedTensor(values).contents) }

    /// Of each column, the sum of squares.
    var columnPowers: [Double] {
        var powers = [Double](repeating: 0, count: columns)
        let (elements, rows) = (values.span, rowPowers)
        for index in elements.indices {
            let power = Double(elements[index]) * Double(elements[index])
            powers[index % columns] += rowsAreRelative ? rows[index / columns] > 0 ? power / rows[index / columns] : 0 : power
        }
        return powers
    }

    /// Of each row.
    var rowPowers: [Double] {
        let elements = values.span
        return (0..<values.rows).map { row in
            (row * columns..<(row + 1) * columns).reduce(0) { $0 + Double(elements[$1]) * Double(elements[$1]) }
        }
    }
}

/// Rows of a weight times inputs that it met: in double, to measure products in integers by.
struct MeasuredProduct {
    private let name: String
    private let weight: SampledWeight
    private let inputs: Tensor
    private let products: Tensor
    private let executor: CPU

    init(_ name: String, _ weight: SampledWeight, _ samples: [InputStatistics.Sample], on executor: CPU) throws(AllocationError) {
        (self.name, self.weight, self.executor) = (name, weight, executor)
        let elements = samples.flatMap { $0.values.map { Float(bitPattern: UInt32($0) << 16) } }
        inputs = try Tensor([samples.count, weight.columns], elements)
        let linear = try Linear(.plain(EncodedTensor(weight.values)), on: executor)
        // A single row is multiplied in double, in one order everywhere.
        var rows: [Tensor] = []
        for index in samples.indices { rows.append(try linear(try inputs.rows(index..<index + 1))) }
        products = try Tensor(stacking: rows)
    }

    /// The power of what an int8 storage adds to the products, as a share of theirs.
    func error(_ storage: Storage, _ magnitudes: [Float]) throws(PackedFileError) -> Double {
        let calibration = magnitudes.isEmpty ? nil : Calibration(inputMagnitudes: magnitudes)
        let shape = weight.values.shape
        let planes = try storage.scheme.encode(weight.values, subject: name, calibration: calibration)
        do throws(AllocationError) {
            let stored = StoredWeight(storage.scheme, shape, planes: planes, activations: .int8PerToken)
            let found = try Linear(stored, on: executor)(inputs)
            var errors = [Double](repeating: 0, count: shape.rows)
            var powers = errors
            let (left, right) = (found.span, products.span)
            for index in right.indices {
                let (exact, difference) = (Double(right[index]), Double(left[index]) - Double(right[index]))
                errors[index % shape.rows] += difference * difference
                powers[index % shape.rows] += exact * exact
            }
            func share(_ error: Double, _ power: Double) -> Double { power > 0 ? error / power : 0 }
            guard weight.rowsAreRelative else { return share(errors.reduce(0, +), powers.reduce(0, +)) }
            return zip(errors, powers).reduce(0) { $0 + share($1.0, $1.1) } / Double(shape.rows)
        } catch { throw .memory(error) }
    }
}

extension ConversionPlan {
    /// How many tensors the plan leaves for a calibration to choose about.
    package var openCount: Int { options.policy.choices == nil ? tensors.count(where: \.isOpen) : 0 }

    /// Statistics of nothing yet, for whoever gathers them.
    package func emptyStatistics() throws(ConversionError) -> [String: InputStatistics.Layer] { try CalibratedWeights(self).emptyLayers() }

    /// The checkpoint's weights in float32, as the packed file will have them but for their rounding, and what a prompt is read with.
    package func calibratedWeights() throws(ConversionError) -> CheckpointWeights {
        try CheckpointWeights(checkpoint, fusions: options.fusions, edit: edit)
    }
}
