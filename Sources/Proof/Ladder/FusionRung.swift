import Conversion
import Inference
import Parity
import Tensors

/// P6: fusing and folding weights changes nothing that the layers compute.
struct FusionRung: LadderRung {
    private(set) var outcome = Outcome()

    /// - Parameter variants: the checkpoint's weights with fusions, by what was done to them.
    init(_ inputs: LayerInputs, variants: [(name: String, weights: CheckpointWeights)]) throws {
        var measured = Measurements(limit: 1e-5)
        let plain = ModelParts(inputs.configuration, from: inputs.plain, on: inputs.executor)
        try inputs.forEach { name, run in
            let expected = EncodedTensor(try run(plain))
            for variant in variants {
                let found = try run(ModelParts(inputs.configuration, from: variant.weights, on: inputs.executor))
                measured.add("\(name), \(variant.name)", Metrics(reference: expected, other: EncodedTensor(found)))
            }
        }
        outcome = measured.outcome(
            "P6", "layers compute the same with fused and folded weights as without", unit: "layers",
            reason: "the same numbers in another grouping: float32 sums in another order, within 1e-5")
    }
}
