package import Operations
package import Tensors

/// One weight as a source describes it without reading it.
package struct WeightSummary: Sendable {
    package let name: String
    let role: Role
    let size: WeightSize

    init(name: String, role: Role, size: WeightSize) { (self.name, self.role, self.size) = (name, role, size) }

    /// A weight in float32.
    package init(name: String, role: Role, shape: Shape) { self.init(name: name, role: role, size: .float32(shape)) }

    /// Whether it may stay in memory: not where only some rows of it are read, nor where what it computes of a prompt stays instead.
    var isKept: Bool { role != .embedding && !isOfPrompt }

    /// Whether a layer of it is read in each step of the transformer.
    func isOfSteps(controlled: Bool) -> Bool { isKept && (name.hasPrefix("dit.") || controlled && name.hasPrefix("control.")) }

    /// Whether it makes a prompt's keys and values.
    var isOfPrompt: Bool { (name.hasPrefix("dit.blocks.") || name.hasPrefix("control.blocks.")) && (name.contains(".cross.k") || name.contains(".cross.v")) }

    /// Whether its products are rounded with `Compute.bfloat16`: the transformer's and a control network's, but for the networks of time and guidance.
    var isRounded: Bool {
        let parts = name.split(separator: ".", maxSplits: 2)
        return parts.count > 1 && ["dit", "control"].contains(parts[0]) && !["time", "guidance", "modulation"].contains(parts[1])
    }

    /// What `WeightLoader` makes of it, at most; nil where only some rows of it are read.
    package func kind(_ compute: Compute = .float32) -> LayerKind? {
        let compute = isRounded ? compute : .float32
        return switch role {
        case .embedding: nil
        case .convolution where size.shape.rank == 4: .convolution(often: true)
        case .sensitiveConvolution: .convolution(often: false)
        // Among them are the halves of the gated convolutions.
        case .linear, .convolution: .linear(compute, cut: true)
        case .gatedLinear, .textLinear, .sensitiveLinear: .linear(compute, cut: false)
        case .depthwise: .depthwise
        case .groupedConvolution, .bias, .norm, .table, .schedule: .values
        }
    }

    /// What the layer takes, at most.
    func footprint(_ compute: Compute, on executor: some Executor) -> Footprint {
        kind(compute).map { executor.footprint(of: size, as: $0) } ?? Footprint()
    }
}

/// A model's weights by their names, for what its layers and their operations take.
struct WeightSizes<E: Executor> {
    let executor: E
    /// Of the products.
    var compute: Compute
    private let summaries: [WeightSummary]
    private let sizes: [String: WeightSize]

    init(_ weights: any WeightSource, on executor: E, _ compute: Compute) {
        (self.executor, self.compute, summaries) = (executor, compute, weights.summaries)
        sizes = Dictionary(summaries.map { ($0.name, $0.size) }) { first, _ in first }
    }

    /// The same for models whose products are not rounded.
    var unrounded: WeightSizes {
        var sizes = self
        sizes.compute = .float32
        return sizes
    }

    /// Loading the weights whose names begin so: those that are not held stay, and the most that one of them takes on its way.
    func loading(_ prefix: String, _ isIncluded: (WeightSummary) -> Bool = { _ in true }, held: (WeightSummary) -> Bool) -> Footprint {
        summaries.filter { $0.name.hasPrefix(prefix) && isIncluded($0) }.reduce(into: Footprint()) { sum, weight in
            let layer = weight.footprint(compute, on: executor)
            sum.kept += held(weight) ? 0 : layer.kept
            sum.passing = max(sum.passing, layer.passing)
        }
    }

    /// What reading the weights takes whose names begin so, one after the other, where they stay in an executor's own memory.
    func largestOnItsWay(_ prefixes: [String]) -> Int {
        summaries.filter { weight in prefixes.contains { weight.name.hasPrefix($0) } && weight.kind() != nil }.map(\.size.widenedBytes).max() ?? 0
    }

    /// A layer's weight; in float32 where the source says nothing of it.
    func size(_ rows: Parameters) -> WeightSize { sizes[rows.weight.name] ?? .float32(rows.weight.shape) }

    func product(_ rows: Int, _ parts: [Parameters], normed: Bool = false, gated: Bool = false) -> Footprint {
        executor.footprint(of: .product(rows: rows, by: parts.map(size), compute, normed: normed, gated: gated))
    }

    func added(_ rows: Int, _ part: Parameters) -> Footprint { executor.footprint(of: .addedProduct(rows: rows, by: size(part), compute)) }

    /// What `update` by a gated convolution takes beside x: the gated map, and that with the projection that is added, or normed first.
    func updatingBytes(_ rows: Int, _ layer: GatedConvolutionRows, normed: Bool) -> Int {
        let gated = executor.footprint(of: .gated(rows: rows, by: size(layer.input), compute, normed: normed))
        let projected = product(rows, [layer.output])
        return max(gated.peak, gated.kept + (layer.norm == nil ? added(rows, layer.output).peak : max(projected.peak, 2 * projected.kept)))
    }
}
