import Inference
import Operations
import Parity
import StrictJSON

/// What goes wrong in a transformer's blocks, one mistake at a time.
struct TransformerSuspicions {
    let configuration: TransformerConfiguration
    let fusions: Fusions
    /// What the names of the blocks begin with, and whose configuration theirs is.
    var blocks = "dit.blocks."
    var folder = "transformer"

    func block(_ index: Int) -> [Suspicion] {
        let c = configuration
        let name = prefix(index)
        let attention = Projections(
            prefix: name + "self.", fused: "qkv", parts: ["q", "k", "v"].map { ($0, c.width) }, isFused: fusions.contains(.queryKeyValue))
        let cross = Projections(prefix: name + "cross.", fused: "kv", parts: ["k", "v"].map { ($0, c.crossWidth) }, isFused: fusions.contains(.crossKeyValue))
        var list: [Suspicion] = attention.swaps(bias: c.attentionBias) + cross.swaps(bias: true)
        list += missingParts(name) + biases(name, attention, cross)
        list += Self.epsilons + layerNormEpsilons
        list.append(Suspicion(.mask, "cross-attention sees the padding of the prompt too") { $0.attendsToPadding = true })
        list += attention.transposes(inputs: c.width) + cross.transposes(inputs: c.width)
        for (part, rows, columns) in [("self.out", c.width, c.width), ("cross.q", c.crossWidth, c.width), ("cross.out", c.width, c.crossWidth)]
        where rows == columns {
            list.append(Suspicion(.transposed, "\(name)\(part) is transposed", edits: [name + part + ".weight": WeightEdit.transposed(0..<rows)]))
        }
        list += heads(attention, cross, name) + modulation(name) + feedForward(name) + neighbours(index)
        return list
    }

    private func prefix(_ index: Int) -> String { "\(blocks)\(index < 10 ? "0" : "")\(index)." }

    /// Other engines' defaults for the norms over q and k.
    static let epsilons = [1e-3, 1e-6, 1e-8, 1e-4, 1e-2, 0].map { (value: Double) in
        Suspicion(.normEpsilon, "the RMS norms have the epsilon \(value)", deviations: Deviations(normEpsilon: value))
    }

    private var layerNormEpsilons: [Suspicion] {
        [1e-3, 1e-5, 1e-12].filter { $0 != configuration.normEpsilon }.map { (value: Double) in
            Suspicion(.normEpsilon, "the layer norms have the epsilon \(value)", folder, [("norm_eps", .number(value))])
        }
    }

    private func missingParts(_ name: String) -> [Suspicion] {
        [
            Suspicion(.partMissing, "self-attention is left out", edits: [name + "self.out.weight": WeightEdit.zero, name + "self.out.bias": WeightEdit.zero]),
            Suspicion(
                .partMissing, "cross-attention is left out", edits: [name + "cross.out.weight": WeightEdit.zero, name + "cross.out.bias": WeightEdit.zero]),
            Suspicion(.partMissing, "the feed-forward part is left out", edits: [name + "ff.out.weight": WeightEdit.zero]),
        ]
    }

    private func biases(_ name: String, _ attention: Projections, _ cross: Projections) -> [Suspicion] {
        (configuration.attentionBias ? attention.missingBiases() : []) + cross.missingBiases()
            + ["self.out", "cross.q", "cross.out", "ff.in", "ff.depth"].map {
                Suspicion(.biasMissing, "the bias of \(name)\($0) is missing", edits: [name + $0 + ".bias": WeightEdit.zero])
            }
    }

    private func heads(_ attention: Projections, _ cross: Projections, _ name: String) -> [Suspicion] {
        let c = configuration
        var list: [Suspicion] = []
        for dimension in [c.headDimension / 2, c.headDimension * 2]
        where dimension > 0 && c.width % dimension == 0 && dimension <= LinearAttention.maximumHeadDimension {
            list.append(
                Suspicion(
                    .headGrouping, "self-attention has \(c.width / dimension) heads of \(dimension) channels", folder,
                    [("attention_head_dim", JSONValue(dimension)), ("num_attention_heads", JSONValue(c.width / dimension))]))
        }
        for dimension in [c.crossHeadDimension / 2, c.crossHeadDimension * 2, c.headDimension]
        where dimension > 0 && c.crossWidth % dimension == 0 && dimension != c.crossHeadDimension {
            list.append(
                Suspicion(
                    .headGrouping, "cross-attention has \(c.crossWidth / dimension) heads of \(dimension) channels", folder,
                    [("cross_attention_head_dim", JSONValue(dimension)), ("num_cross_attention_heads", JSONValue(c.crossWidth / dimension))]))
        }
        // Channel c of head h lies at c * heads + h.
        let (heads, dimension) = (c.heads, c.headDimension)
        var edits = attention.reordered { _, row, _ in row % dimension * heads + row / dimension }
        edits[name + "self.out.weight"] = WeightEdit.columns { column, _ in column % dimension * heads + column / dimension }
        list.append(Suspicion(.headGrouping, "the heads of self-attention are taken as the inner axis", edits: edits))
        return list
    }

    private func modulation(_ name: String) -> [Suspicion] {
        let orders: [(String, [Int])] = [
            ("shift and scale are exchanged", [1, 0, 2, 4, 3, 5]), ("shift, scale and gate come in another order", [2, 0, 1, 5, 3, 4]),
            ("attention and feed-forward have each other's modulation", [3, 4, 5, 0, 1, 2]),
        ]
        return [Suspicion(.partMissing, "the block's own modulation table is left out", edits: [name + "table": WeightEdit.zero])]
            + orders.map { text, order in
                var suspicion = Suspicion(.rowsPermuted, text, edits: [name + "table": WeightEdit.rows { row, _ in order[row] }])
                suspicion.slip.modulationOrder = order
                return suspicion
            }
    }

    private func feedForward(_ name: String) -> [Suspicion] {
        [
            Suspicion(
                .activation, "the gate of the feed-forward part is its other half",
                edits: [
                    name + "ff.in.weight": WeightEdit.exchangedHalves, name + "ff.in.bias": WeightEdit.exchangedHalves,
                    name + "ff.depth.weight": WeightEdit.exchangedHalves, name + "ff.depth.bias": WeightEdit.exchangedHalves,
                ]),
            Suspicion(.mirrored, "the kernels of \(name)ff.depth are turned", edits: [name + "ff.depth.weight": WeightEdit.turnedKernels]),
            Suspicion(
                .layoutPermuted, "rows and columns of the kernels of \(name)ff.depth are exchanged",
                edits: [name + "ff.depth.weight": WeightEdit.transposedKernels]),
        ]
    }

    private func neighbours(_ index: Int) -> [Suspicion] {
        let name = prefix(index)
        return [index - 1, index + 1].filter { $0 >= 0 && $0 < configuration.layers }.flatMap { other in
            let otherName = prefix(other)
            return [Suspicion(.wrongTensor, "all weights are those of block \(other)", replacing: name, with: otherName)]
                + [
                    "self.", "cross.", "ff.", "self.qkv", "self.q", "self.k", "self.v", "self.out", "cross.q", "cross.kv", "cross.k", "cross.v", "cross.out",
                    "ff.in", "ff.depth", "ff.out", "table",
                ].map {
                    Suspicion(.wrongTensor, "\(name)\($0) is that of block \(other)", replacing: name + $0, with: otherName + $0)
                }
        }
    }

    // MARK: - Around the blocks

    var caption: [Suspicion] {
        [Suspicion(.activation, "GELU is the exact one, not the tanh form", deviations: Deviations(exactGELU: true))] + Self.epsilons
            + ["dit.caption.in", "dit.caption.out"].map { Suspicion(.biasMissing, "the bias of \($0) is missing", edits: [$0 + ".bias": WeightEdit.zero]) } + [
                Suspicion(.partMissing, "the weight of the caption norm is left out", edits: ["dit.caption.norm.weight": WeightEdit.fill(1)])
            ]
    }

    var timeEmbedding: [Suspicion] {
        let flipped = WeightEdit.columns { column, count in (column + count / 2) % count }
        return guidanceEmbedding + [
            Suspicion(.timestep, "the time is that of the next step") { $0.time = 1 },
            Suspicion(.timestep, "the time is that of the step before") { $0.time = -1 },
            Suspicion(.timestep, "the time is multiplied by 1000") { $0.timeFactor = 1000 },
            Suspicion(.timestep, "the time is divided by 1000") { $0.timeFactor = 0.001 },
            Suspicion(.partsSwapped, "sines come before cosines in the embedding of time", edits: ["dit.time.in.weight": flipped]),
        ] + ["dit.time.in", "dit.time.out"].map(Self.withoutBias)
    }

    private static func withoutBias(_ name: String) -> Suspicion {
        Suspicion(.biasMissing, "the bias of \(name) is missing", edits: [name + ".bias": WeightEdit.zero])
    }

    /// Of models that are told the guidance.
    private var guidanceEmbedding: [Suspicion] {
        guard configuration.embedsGuidance else { return [] }
        let (flipped, scale) = (WeightEdit.columns { column, count in (column + count / 2) % count }, configuration.guidanceScale)
        var exchanged = Suspicion(.partsSwapped, "the embedders of time and guidance are exchanged")
        exchanged.replacements = [("dit.time.", "dit.guidance."), ("dit.guidance.", "dit.time.")]
        return [
            Suspicion(.guidance, "the guidance scale is not multiplied by guidance_embeds_scale, \(scale)") { $0.guidance = 1 / scale },
            Suspicion(.guidance, "the guidance scale is multiplied by guidance_embeds_scale twice") { $0.guidance = scale },
            Suspicion(.guidance, "guidance is not embedded: it counts as 0") { $0.guidance = 0 },
            Suspicion(
                .partMissing, "the embedding of guidance is left out",
                edits: ["dit.guidance.out.weight": WeightEdit.zero, "dit.guidance.out.bias": WeightEdit.zero]),
            Suspicion(.partsSwapped, "sines come before cosines", edits: ["dit.time.in.weight": flipped, "dit.guidance.in.weight": flipped]),
            exchanged,
        ] + ["dit.guidance.in", "dit.guidance.out"].map(Self.withoutBias)
    }

    var modulationProjection: [Suspicion] {
        [Suspicion(.biasMissing, "the bias of dit.modulation is missing", edits: ["dit.modulation.bias": WeightEdit.zero])]
    }
    var patches: [Suspicion] { [Suspicion(.biasMissing, "the bias of dit.patch is missing", edits: ["dit.patch.bias": WeightEdit.zero])] + patchOrder }
    var output: [Suspicion] { [Suspicion(.biasMissing, "the bias of dit.out is missing", edits: ["dit.out.bias": WeightEdit.zero])] + unpatchify }

    var outputNorm: [Suspicion] {
        [
            Suspicion(.rowsPermuted, "shift and scale of the last norm are exchanged", edits: ["dit.out.table": WeightEdit.exchangedHalves]),
            Suspicion(.partMissing, "the table of the last norm is left out", edits: ["dit.out.table": WeightEdit.zero]),
        ]
    }

    /// Patches with the channel as the fastest instead of the slowest index.
    private var patchOrder: [Suspicion] {
        let (channels, area) = (configuration.channels, configuration.patch * configuration.patch)
        guard area > 1 else { return [] }
        return [
            Suspicion(
                .layoutPermuted, "patches are laid out with the channel as the inner index",
                edits: ["dit.patch.weight": WeightEdit.columns { column, _ in column % channels * area + column / channels }])
        ]
    }

    private var unpatchify: [Suspicion] {
        let (channels, area) = (configuration.channels, configuration.patch * configuration.patch)
        guard area > 1 else { return [] }
        let order = WeightEdit.rows { row, _ in row % channels * area + row / channels }
        return [
            Suspicion(.layoutPermuted, "patches are unfolded with the channel as the outer index", edits: ["dit.out.weight": order, "dit.out.bias": order])
        ]
    }
}
