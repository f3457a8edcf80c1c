import Inference
import Operations
import Parity
import StrictJSON

/// What goes wrong in a DC-AE, one mistake at a time.
struct AutoencoderSuspicions {
    let configuration: AutoencoderConfiguration
    let fusions: Fusions
    /// "dec" or "enc".
    let part: String

    private var side: AutoencoderConfiguration.Side { part == "dec" ? configuration.decoder : configuration.encoder }

    func stage(_ index: Int) -> [Suspicion] {
        let stage = side.stages[index]
        let prefix = "vae.\(part).stage.\(index)."
        let blocks = (0..<stage.blocks).map { "\(prefix)block.\($0 < 10 ? "0" : "")\($0)." }
        var list = Self.epsilons
        if part == "dec", index == side.stages.count - 1 {
            list.append(Suspicion(.partMissing, "the shortcut around the first convolution is left out") { $0.skipsShortcut = true })
        }
        switch stage.kind {
        case .residual:
            list += activations(index)
            for block in blocks { list += residual(block) }
        case .efficientViT:
            list += all(blocks, .headGrouping, "q, k and v are taken as thirds, not head by head") { thirds($0, stage) }
            list += heads(stage)
            for block in blocks { list += attention(block, stage) }
        }
        list += convolution(prefix + (part == "dec" ? "up" : "down"), bias: true)
        return list + neighbours(blocks)
    }

    static let epsilons = [1e-3, 1e-6, 1e-8, 1e-4, 1e-2, 0].map { (value: Double) in
        Suspicion(.normEpsilon, "the RMS norms have the epsilon \(value)", deviations: Deviations(normEpsilon: value))
    }

    var picture: [Suspicion] {
        Self.epsilons + convolution("vae.dec.conv_out", bias: true) + [
            Suspicion(.biasMissing, "the bias of the last norm is missing", edits: ["vae.dec.norm.bias": WeightEdit.zero]),
            Suspicion(.activation, "the activation before the last convolution is SiLU", "vae", [("decoder_conv_act_fn", "silu")]),
            Suspicion(.activation, "the activation before the last convolution is ReLU", "vae", [("decoder_conv_act_fn", "relu")]),
        ]
    }

    var firstConvolution: [Suspicion] { convolution("vae.\(part).conv_in", bias: true) }

    /// The same mistake in every block, and in each of them alone.
    private func all(_ blocks: [String], _ kind: Cause.Kind, _ text: String, _ edits: (String) -> [String: Suspicion.Edit]) -> [Suspicion] {
        let together = blocks.reduce(into: [String: Suspicion.Edit]()) { $0.merge(edits($1)) { first, _ in first } }
        return [Suspicion(kind, text, edits: together)]
            + (blocks.count > 1 ? blocks.map { Suspicion(kind, "\($0.dropLast()): \(text)", edits: edits($0)) } : [])
    }

    private func activations(_ index: Int) -> [Suspicion] {
        guard part == "dec" else { return [] }
        return ["silu", "relu"].map { name in
            let list = side.stages.indices.map { place in
                JSONValue.string(place == index ? name : side.stages[place].activation == .relu ? "relu" : "silu")
            }
            return Suspicion(.activation, "the activation of the residual blocks is \(name)", "vae", [("decoder_act_fns", .array(list))])
        }
    }

    private func residual(_ block: String) -> [Suspicion] {
        convolution(block + "conv1", bias: true) + convolution(block + "conv2", bias: false) + [
            Suspicion(.biasMissing, "the bias of \(block)norm is missing", edits: [block + "norm.bias": WeightEdit.zero]),
            Suspicion(.partMissing, "\(block.dropLast()) is left out", edits: [block + "norm.weight": WeightEdit.zero, block + "norm.bias": WeightEdit.zero]),
            {
                var suspicion = Suspicion(.partsSwapped, "the two convolutions of \(block.dropLast()) are exchanged")
                suspicion.replacements = [(block + "conv1.weight", block + "conv2.weight"), (block + "conv2.weight", block + "conv1.weight")]
                return suspicion
            }(),
        ]
    }

    private func convolution(_ name: String, bias: Bool) -> [Suspicion] {
        [
            Suspicion(
                .mirrored, "the kernels of \(name) are turned: a convolution instead of a correlation", edits: [name + ".weight": WeightEdit.turnedKernels]),
            Suspicion(.layoutPermuted, "rows and columns of the kernels of \(name) are exchanged", edits: [name + ".weight": WeightEdit.transposedKernels]),
            Suspicion(.layoutPermuted, "the weight of \(name) is read in another layout", edits: [name + ".weight": WeightEdit.channelsFirst]),
        ] + (bias ? [Suspicion(.biasMissing, "the bias of \(name) is missing", edits: [name + ".bias": WeightEdit.zero])] : [])
    }

    private func projections(_ block: String, _ stage: AutoencoderConfiguration.Stage) -> Projections {
        let inner = stage.channels / configuration.headDimension * configuration.headDimension
        return Projections(prefix: block + "attn.", fused: "qkv", parts: ["q", "k", "v"].map { ($0, inner) }, isFused: fusions.contains(.queryKeyValue))
    }

    /// The rows of q, k and v, and of the branches that mix them, in the order of an engine that takes them as three blocks.
    private func thirds(_ block: String, _ stage: AutoencoderConfiguration.Stage) -> [String: Suspicion.Edit] {
        // Only a fused weight has all rows in one place.
        guard fusions.contains(.queryKeyValue) else { return [:] }
        let dimension = configuration.headDimension
        let heads = stage.channels / dimension
        // Where our runtime looks for part p of head h, that engine has what it takes from there: row p * heads + h.
        let order = WeightEdit.rows { row, _ in
            let (run, place) = (row / dimension, row % dimension)
            return (run % 3 * heads + run / 3) * dimension + place
        }
        var edits = [block + "attn.qkv.weight": order]
        for scale in stage.scales.indices {
            edits[block + "attn.scale.\(scale).depth.weight"] = order
            edits[block + "attn.scale.\(scale).point.weight"] = order
        }
        return edits
    }

    private func heads(_ stage: AutoencoderConfiguration.Stage) -> [Suspicion] {
        let dimension = configuration.headDimension
        return [dimension / 2, dimension * 2].filter {
            $0 > 0 && stage.scales.isEmpty && stage.channels % $0 == 0 && $0 <= LinearAttention.maximumHeadDimension
        }.map {
            Suspicion(.headGrouping, "attention has heads of \($0) channels", "vae", [("attention_head_dim", JSONValue($0))])
        }
    }

    private func attention(_ block: String, _ stage: AutoencoderConfiguration.Stage) -> [Suspicion] {
        let inner = stage.channels / configuration.headDimension * configuration.headDimension
        var list = [
            Suspicion(
                .partMissing, "attention of \(block.dropLast()) is left out",
                edits: [block + "attn.norm.weight": WeightEdit.zero, block + "attn.norm.bias": WeightEdit.zero]),
            Suspicion(
                .partMissing, "the feed-forward part of \(block.dropLast()) is left out",
                edits: [block + "glu.norm.weight": WeightEdit.zero, block + "glu.norm.bias": WeightEdit.zero]),
            Suspicion(
                .activation, "the gate of \(block)glu is its other half",
                edits: [
                    block + "glu.in.weight": WeightEdit.exchangedHalves, block + "glu.in.bias": WeightEdit.exchangedHalves,
                    block + "glu.depth.weight": WeightEdit.exchangedHalves, block + "glu.depth.bias": WeightEdit.exchangedHalves,
                ]),
            Suspicion(.mirrored, "the kernels of \(block)glu.depth are turned", edits: [block + "glu.depth.weight": WeightEdit.turnedKernels]),
        ]
        if !stage.scales.isEmpty {
            list.append(
                Suspicion(
                    .partMissing, "the multi-scale branches of \(block)attn are left out",
                    edits: [block + "attn.out.weight": WeightEdit.zeroedColumns(from: inner)]))
        }
        list += ["glu.in", "glu.depth", "attn.norm", "glu.norm"].map {
            Suspicion(.biasMissing, "the bias of \(block)\($0) is missing", edits: [block + $0 + ".bias": WeightEdit.zero])
        }
        return list + projections(block, stage).transposes(inputs: stage.channels)
    }

    private func neighbours(_ blocks: [String]) -> [Suspicion] {
        blocks.indices.flatMap { index in
            [index - 1, index + 1].filter { blocks.indices.contains($0) }.map { other in
                Suspicion(
                    .wrongTensor, "all weights of \(blocks[index].dropLast()) are those of \(blocks[other].dropLast())", replacing: blocks[index],
                    with: blocks[other])
            }
        }
    }
}
