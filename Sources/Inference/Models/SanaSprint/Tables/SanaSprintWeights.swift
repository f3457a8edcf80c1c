import PackedFiles
import Tensors

/// The weight table of the SANA-Sprint family: which packed weights a configuration has, and which checkpoint tensors make each.
///
/// Packed names say where a weight acts, from the outside in: `dit`, `vae.dec`, `vae.enc` or `text`; then `blocks.NN`,
/// `stage.K.block.NN` or `layers.NN`; then the unit (`self`, `cross`, `ff`, `attn`, `mlp`); then the operation and `weight` or
/// `bias`. Blocks and layers count from 00 with at least two digits, stages of the autoencoder with one, 0 being the
/// highest resolution, as in the checkpoint. `Formats/weights.md` lists every name.
package enum SanaSprintWeights {
    /// The rows of a component (with a frozen schedule, its tables in place of the networks of time and guidance) in the order in which the model uses them; empty where the configuration lacks the component.
    package static func table(_ configuration: SanaSprintConfiguration, component: Component, fusions: Fusions, frozen: FrozenSchedule? = nil) -> [WeightRow] {
        switch component {
        case .transformer: transformer(configuration.transformer, fusions, frozen)
        case .vaeDecoder: configuration.vae.map { decoder($0, fusions) } ?? []
        case .vaeEncoder: configuration.vae.map { encoder($0, fusions) } ?? []
        case .textEncoder: configuration.text.map { textEncoder($0, fusions) } ?? []
        case .tokenizer, .prefixCache, .certificate: []
        }
    }

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

/// Collects rows under one packed and one checkpoint prefix.
struct TableBuilder {
    private(set) var rows: [WeightRow] = []

    /// One tensor under its own name.
    mutating func add(_ name: String, _ source: String, _ sourceShape: Shape, role: Role, as shape: Shape? = nil, layout: TensorLayout = .same) {
        rows.append(WeightRow(name: name, shape: shape ?? sourceShape, role: role, recipe: .rows([.init(source, sourceShape)]), layout: layout))
    }

    /// A linear or 1x1 convolution: `[outputs, inputs]`, and its bias if it has one.
    /// - Parameter kernel: side of the square kernel in the checkpoint's weight; nil for an `nn.Linear`.
    mutating func linear(_ name: String, _ source: String, _ outputs: Int, _ inputs: Int, role: Role, bias: Bool, kernel: Int? = nil) {
        let side = kernel ?? 1
        let stored: Shape = kernel == nil ? [outputs, inputs] : [outputs, inputs, side, side]
        add(name + ".weight", source + ".weight", stored, role: role, as: [outputs, inputs * side * side])
        if bias { vector(name + ".bias", source + ".bias", outputs, role: .bias) }
    }

    /// Linears of the same input, in one weight `[sum of outputs, inputs]` named after `fused`, or each under its own name.
    mutating func linears(_ prefix: String, fused: String?, _ parts: [LinearPart], inputs: Int, role: Role, bias: Bool) {
        guard let fused else {
            for part in parts { linears(prefix, fused: part.name, [part], inputs: inputs, role: role, bias: bias) }
            return
        }
        let outputs = parts.reduce(0) { $0 + $1.outputs }
        rows.append(
            WeightRow(
                name: "\(prefix)\(fused).weight", shape: [outputs, inputs], role: role,
                recipe: .rows(parts.map { .init($0.source + ".weight", [$0.outputs, inputs], $0.transforms) })))
        guard bias else { return }
        rows.append(
            WeightRow(
                name: "\(prefix)\(fused).bias", shape: [outputs], role: .bias,
                recipe: .rows(parts.map { .init($0.source + ".bias", [$0.outputs], $0.transforms) })))
    }

    struct LinearPart {
        let name: String
        let source: String
        let outputs: Int
        var transforms: [RowTransform] = []
    }

    /// A dense convolution `[out, in, kernel, kernel]`, stored channels last, and its bias if it has one.
    mutating func convolution(_ name: String, _ source: String, _ outputs: Int, _ inputs: Int, role: Role = .convolution, bias: Bool = true) {
        add(name + ".weight", source + ".weight", [outputs, inputs, 3, 3], role: role, as: [outputs, 3, 3, inputs], layout: .channelsLast)
        if bias { vector(name + ".bias", source + ".bias", outputs, role: .bias) }
    }

    /// A depthwise convolution `[channels, 1, kernel, kernel]`, and its bias if it has one.
    mutating func depthwise(_ name: String, _ source: String, _ channels: Int, kernel: Int, bias: Bool) {
        add(name + ".weight", source + ".weight", [channels, 1, kernel, kernel], role: .depthwise, as: [channels, kernel, kernel])
        if bias { vector(name + ".bias", source + ".bias", channels, role: .bias) }
    }

    mutating func vector(_ name: String, _ source: String, _ count: Int, role: Role) { add(name, source, [count], role: role) }

    /// A table that is computed from linears of the checkpoint.
    mutating func computed(_ name: String, _ shape: Shape, by computation: Recipe.Computation, from sources: [(name: String, outputs: Int, inputs: Int)]) {
        let inputs = sources.flatMap { source -> [Recipe.Input] in
            [.init(source.name + ".weight", [source.outputs, source.inputs]), .init(source.name + ".bias", [source.outputs])]
        }
        rows.append(WeightRow(name: name, shape: shape, role: .schedule, recipe: .computed(by: computation, from: inputs)))
    }

    /// An RMS norm's weight, and its bias if it has one.
    mutating func norm(_ name: String, _ source: String, _ channels: Int, bias: Bool = false) {
        vector(name + ".weight", source + ".weight", channels, role: .norm)
        if bias { vector(name + ".bias", source + ".bias", channels, role: .norm) }
    }
}
