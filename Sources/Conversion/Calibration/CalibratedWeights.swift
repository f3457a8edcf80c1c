import Checkpoints
import Files
package import Inference
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
        names = plan.tensors.filter(\.isOpen).map(\.name)
        tensors = Dictionary(uniqueKeysWithValues: plan.tensors.map { ($0.name, $0) })
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
            values: try wrapping(ConversionError.machine, try stored.widened()), rowsAreRelative: linearPairs.contains { $0.producer == name })
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

extension ConversionPlan {
    /// Of memory bounds, the part that a calibration before the conversion is.
    package static let calibrationPart = "calibration"

    /// How many tensors the plan leaves for a calibration to choose about.
    package var openCount: Int { options.policy.choices == nil ? tensors.count(where: \.isOpen) : 0 }

    /// The packed names of what is stored in whole numbers, in the order of the file.
    package func quantizedNames(of component: Component) -> [String] {
        tensors.filter { $0.component == component && $0.storage.scheme.isQuantized }.map(\.name)
    }

    /// Statistics of nothing yet, for whoever gathers them.
    package func emptyStatistics() throws(ConversionError) -> [String: InputStatistics.Layer] { try CalibratedWeights(self).emptyLayers() }

    /// The checkpoint's weights in float32, as the packed file will have them but for their rounding, and what a prompt is read with.
    package func calibratedWeights() throws(ConversionError) -> CheckpointWeights {
        try CheckpointWeights(checkpoint, fusions: options.fusions, edit: edit)
    }
}
