import PackedFiles
import Tensors

/// The weight table of the SANA-Sprint family: which packed weights a configuration has, and which checkpoint tensors make each.
///
/// Packed names say where a weight acts, from the outside in: `dit`, `control`, `vae.dec`, `vae.enc` or `text`; then `blocks.NN`,
/// `stage.K.block.NN` or `layers.NN`; then the unit (`self`, `cross`, `ff`, `attn`, `mlp`); then the operation and `weight` or
/// `bias`. Blocks and layers count from 00 with at least two digits, stages of the autoencoder with one, 0 being the
/// highest resolution, as in the checkpoint. `Formats/weights.md` lists every name.
package enum SanaSprintWeights {
    /// The rows of a component (with a frozen schedule, its tables in place of the networks of time and guidance).
    package static func table(_ configuration: SanaSprintConfiguration, component: Component, fusions: Fusions, frozen: FrozenSchedule? = nil) -> [WeightRow] {
        component.definition.rows(configuration, fusions, frozen)
    }

    /// What the names of a block's weights begin with, without the dot.
    package static func block(_ index: Int) -> String { "dit.blocks.\(number(index))" }

    /// What the names of the weights of a control network's block begin with, without the dot.
    package static func controlBlock(_ index: Int) -> String { "control.blocks.\(number(index))" }

    /// What the names of a text encoder layer's weights begin with.
    package static func textLayer(_ index: Int) -> String { "text.layers.\(number(index))." }

    /// What a weight is loaded with: a transformer's block, an encoder's layer, a stage of the autoencoder; or what stands alone.
    package static func layer(of name: String) -> String {
        let parts = name.split(separator: ".")
        let count = parts.firstIndex { $0.allSatisfy(\.isNumber) }.map { $0 + 1 } ?? min(2, parts.count)
        return parts.prefix(count).joined(separator: ".")
    }

    /// An index as names have it: at least two digits.
    static func number(_ index: Int) -> String { index < 10 ? "0\(index)" : "\(index)" }
}

/// Collects the rows of a table, and gives those of each layer to whoever loads it.
struct TableBuilder {
    private(set) var rows: [WeightRow] = []

    private mutating func append(_ row: WeightRow) -> WeightRow {
        rows.append(row)
        return row
    }

    /// One tensor under its own name.
    mutating func add(
        _ name: String, _ source: String, _ sourceShape: Shape, role: Role, as shape: Shape? = nil, layout: TensorLayout = .same
    ) -> WeightRow {
        append(WeightRow(name: name, shape: shape ?? sourceShape, role: role, recipe: .rows([.init(source, sourceShape)]), layout: layout))
    }

    /// A linear or 1x1 convolution: `[outputs, inputs]`, and its bias if it has one.
    /// - Parameter kernel: side of the square kernel in the checkpoint's weight; nil for an `nn.Linear`.
    mutating func linear(_ name: String, _ source: String, _ outputs: Int, _ inputs: Int, role: Role, bias: Bool, kernel: Int? = nil) -> Parameters {
        let side = kernel ?? 1
        let stored: Shape = kernel == nil ? [outputs, inputs] : [outputs, inputs, side, side]
        return Parameters(
            name, weight: add(name + ".weight", source + ".weight", stored, role: role, as: [outputs, inputs * side * side]),
            bias: bias ? vector(name + ".bias", source + ".bias", outputs, role: .bias) : nil)
    }

    /// Linears of the same input, in one weight `[sum of outputs, inputs]` named after `fused`, or each under its own name.
    mutating func linears(_ prefix: String, fused: String?, _ parts: [LinearPart], inputs: Int, role: Role, bias: Bool) -> [Parameters] {
        guard let fused else { return parts.flatMap { linears(prefix, fused: $0.name, [$0], inputs: inputs, role: role, bias: bias) } }
        let outputs = parts.reduce(0) { $0 + $1.outputs }
        let weight = append(
            WeightRow(
                name: "\(prefix)\(fused).weight", shape: [outputs, inputs], role: role,
                recipe: .rows(parts.map { .init($0.source + ".weight", [$0.outputs, inputs], $0.transforms) })))
        guard bias else { return [Parameters(prefix + fused, weight: weight, bias: nil)] }
        let vector = append(
            WeightRow(
                name: "\(prefix)\(fused).bias", shape: [outputs], role: .bias,
                recipe: .rows(parts.map { .init($0.source + ".bias", [$0.outputs], $0.transforms) })))
        return [Parameters(prefix + fused, weight: weight, bias: vector)]
    }

    struct LinearPart {
        let name: String
        let source: String
        let outputs: Int
        var transforms: [RowTransform] = []
    }

    /// A dense convolution `[out, in, kernel, kernel]`, stored channels last, and its bias if it has one.
    mutating func convolution(_ name: String, _ source: String, _ outputs: Int, _ inputs: Int, role: Role = .convolution, bias: Bool = true) -> Parameters {
        Parameters(
            name, weight: add(name + ".weight", source + ".weight", [outputs, inputs, 3, 3], role: role, as: [outputs, 3, 3, inputs], layout: .channelsLast),
            bias: bias ? vector(name + ".bias", source + ".bias", outputs, role: .bias) : nil)
    }

    /// A depthwise convolution `[channels, 1, kernel, kernel]`, and its bias if it has one.
    mutating func depthwise(_ name: String, _ source: String, _ channels: Int, kernel: Int, bias: Bool) -> Parameters {
        Parameters(
            name, weight: add(name + ".weight", source + ".weight", [channels, 1, kernel, kernel], role: .depthwise, as: [channels, kernel, kernel]),
            bias: bias ? vector(name + ".bias", source + ".bias", channels, role: .bias) : nil)
    }

    private mutating func vector(_ name: String, _ source: String, _ count: Int, role: Role) -> WeightRow { add(name, source, [count], role: role) }

    /// A table that is computed from linears of the checkpoint.
    mutating func computed(
        _ name: String, _ shape: Shape, by computation: Recipe.Computation, from sources: [(name: String, outputs: Int, inputs: Int)]
    ) -> WeightRow {
        let inputs = sources.flatMap { source -> [Recipe.Input] in
            [.init(source.name + ".weight", [source.outputs, source.inputs]), .init(source.name + ".bias", [source.outputs])]
        }
        return append(WeightRow(name: name, shape: shape, role: .schedule, recipe: .computed(by: computation, from: inputs)))
    }

    /// An RMS norm's weight, and its bias if it has one.
    mutating func norm(_ name: String, _ source: String, _ channels: Int, bias: Bool = false) -> Parameters {
        Parameters(
            name, weight: vector(name + ".weight", source + ".weight", channels, role: .norm),
            bias: bias ? vector(name + ".bias", source + ".bias", channels, role: .norm) : nil)
    }
}
