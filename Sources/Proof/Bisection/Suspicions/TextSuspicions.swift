import Inference
import Parity
import StrictJSON

/// What goes wrong in a Gemma-2, one mistake at a time.
struct TextSuspicions {
    let configuration: TextEncoderConfiguration
    let fusions: Fusions

    private static let folder = "text_encoder"

    func layer(_ index: Int) -> [Suspicion] {
        let c = configuration
        let name = Self.prefix(index)
        let attention = Projections(
            prefix: name + "self.", fused: "qkv", parts: [("q", c.queryWidth), ("k", c.keyValueWidth), ("v", c.keyValueWidth)],
            isFused: fusions.contains(.queryKeyValue))
        let gateUp = Projections(
            prefix: name + "mlp.", fused: "gate_up", parts: [("gate", c.hidden), ("up", c.hidden)], isFused: fusions.contains(.queryKeyValue))
        var list = attention.swaps(bias: c.attentionBias) + gateUp.swaps(bias: false) + attentionForm
        list += norms(name) + rotary(attention) + groups(name, attention)
        list += [
            Suspicion(.partMissing, "attention is left out", edits: [name + "self.out.weight": WeightEdit.zero]),
            Suspicion(.partMissing, "the feed-forward part is left out", edits: [name + "mlp.down.weight": WeightEdit.zero]),
            Suspicion(.transposed, "\(name)self.out is transposed", edits: [name + "self.out.weight": WeightEdit.transposed(0..<c.width)]),
        ]
        return list + attention.transposes(inputs: c.width) + neighbours(index)
    }

    private static func prefix(_ index: Int) -> String { "text.layers.\(index < 10 ? "0" : "")\(index)." }

    private var attentionForm: [Suspicion] {
        let c = configuration
        var list: [Suspicion] = []
        if c.softCap != nil {
            list.append(Suspicion(.softCap, "the soft cap of the attention logits is left out", Self.folder, [("attn_logit_softcapping", .null)]))
        }
        for cap in [50.0, 30.0] where cap != c.softCap {
            list.append(Suspicion(.softCap, "the soft cap of the attention logits is \(cap)", Self.folder, [("attn_logit_softcapping", .number(cap))]))
        }
        let scalars = [
            ("1", 1), ("the head's width", c.headDimension), ("hidden size over heads", c.width / c.heads), ("256", 256), ("224", 224), ("144", 144),
        ]
        for (text, scalar) in scalars where abs(1 / Double(scalar).squareRoot() - c.attentionScale) > 1e-9 {
            list.append(
                Suspicion(.attentionScale, "logits are divided by the root of \(text), \(scalar)", Self.folder, [("query_pre_attn_scalar", JSONValue(scalar))]))
        }
        list.append(Suspicion(.window, "no layer has a sliding window", Self.folder, [("sliding_window", .null)]))
        let kinds = c.windows.map { JSONValue.string($0 == nil ? "sliding_attention" : "full_attention") }
        list.append(Suspicion(.window, "the other layers have the sliding window", Self.folder, [("layer_types", .array(kinds))]))
        return list
    }

    private func norms(_ name: String) -> [Suspicion] {
        let names = ["self.pre_norm", "self.post_norm", "mlp.pre_norm", "mlp.post_norm"].map { name + $0 + ".weight" }
        let plain = Suspicion(
            .normOffset, "1 is not added to the weights of the norms", edits: Dictionary(uniqueKeysWithValues: names.map { ($0, WeightEdit.add(-1)) }))
        return [plain] + epsilons
            + ["self.post_norm", "mlp.post_norm"].map {
                Suspicion(.partMissing, "the weight of \(name)\($0) is left out", edits: [name + $0 + ".weight": WeightEdit.zero])
            }
    }

    private var epsilons: [Suspicion] {
        [1e-3, 1e-5, 1e-8, 1e-4, 1e-2, 0].map { (value: Double) in
            Suspicion(.normEpsilon, "the norms have the epsilon \(value)", deviations: Deviations(normEpsilon: value))
        }
    }

    private func rotary(_ attention: Projections) -> [Suspicion] {
        let dimension = configuration.headDimension
        var list = [10_000.0, 1_000_000, 500_000].filter { $0 != configuration.ropeTheta }.map { theta in
            Suspicion(.rotary, "the rotary embedding has the base \(theta)", Self.folder, [("rope_parameters", .null), ("rope_theta", .number(theta))])
        }
        // Turning neighbouring channels is turning the halves of channels in another order.
        let edits = attention.reordered { part, row, _ in
            guard part < 2 else { return row }
            let (head, place) = (row / dimension, row % dimension)
            return head * dimension + (place < dimension / 2 ? 2 * place : 2 * (place - dimension / 2) + 1)
        }
        list.append(Suspicion(.rotary, "the rotary embedding turns neighbouring channels, not the halves of a head", edits: edits))
        return list
    }

    /// Query heads that share keys lie side by side; an engine may deal them out in turn.
    private func groups(_ name: String, _ attention: Projections) -> [Suspicion] {
        let c = configuration
        guard c.keyValueHeads > 1, c.keyValueHeads < c.heads else { return [] }
        let (dimension, groups, members) = (c.headDimension, c.keyValueHeads, c.heads / c.keyValueHeads)
        let order: @Sendable (Int) -> Int = { row in
            let head = row / dimension
            return (head % members * groups + head / members) * dimension + row % dimension
        }
        var edits = attention.reordered { part, row, _ in part == 0 ? order(row) : row }
        edits[name + "self.out.weight"] = WeightEdit.columns { column, _ in order(column) }
        return [Suspicion(.headGrouping, "query heads are dealt out to the key heads in turn", edits: edits)]
    }

    private func neighbours(_ index: Int) -> [Suspicion] {
        let name = Self.prefix(index)
        return [index - 1, index + 1].filter { $0 >= 0 && $0 < configuration.layers }.flatMap { other in
            let otherName = Self.prefix(other)
            return [Suspicion(.wrongTensor, "all weights are those of layer \(other)", replacing: name, with: otherName)]
                + ["self.", "mlp.", "self.qkv", "self.q", "self.k", "self.v", "self.out", "mlp.gate_up", "mlp.gate", "mlp.up", "mlp.down"].map {
                    Suspicion(.wrongTensor, "\(name)\($0) is that of layer \(other)", replacing: name + $0, with: otherName + $0)
                }
        }
    }

    /// The last norm and the choice of positions.
    var features: [Suspicion] {
        [
            Suspicion(.partMissing, "the last norm is left out") { $0.skipsNorm = true },
            Suspicion(.prompt, "the first positions are kept, not the first and the last") { $0.takesFirstTokens = true },
            Suspicion(.normOffset, "1 is not added to the weight of the last norm", edits: ["text.norm.weight": WeightEdit.add(-1)]),
        ] + epsilons
    }
}
