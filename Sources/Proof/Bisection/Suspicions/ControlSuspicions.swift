import Inference
import Parity
import StrictJSON

/// What goes wrong where a control network is joined to its base, one mistake at a time.
struct ControlSuspicions {
    let configuration: ControlConfiguration
    let fusions: Fusions

    private var otherWiring: Suspicion {
        let other: ControlConfiguration.Wiring = configuration.wiring == .nvlabs ? .diffusers : .nvlabs
        return Suspicion(
            .configuration, "the control network is wired as \(other.rawValue) does it", "controlnet", [("control_wiring", .string(other.rawValue))])
    }

    var latents: [Suspicion] {
        [Suspicion(.scaled, "the control picture's latents are not multiplied by scaling_factor", "vae", [("scaling_factor", 1)])]
    }

    var input: [Suspicion] {
        [Suspicion(.biasMissing, "the bias of control.input is missing", edits: ["control.input.bias": WeightEdit.zero])]
    }

    func block(_ index: Int) -> [Suspicion] {
        let blocks = TransformerSuspicions(configuration: configuration.branch, fusions: fusions, blocks: "control.blocks.", folder: "controlnet")
        let start = [otherWiring, Suspicion(.partMissing, "the control picture is not added to where the branch sets out from") { $0.skipsControl = true }]
        return (index == 0 ? start : []) + blocks.block(index)
    }

    func residual(_ index: Int) -> [Suspicion] {
        let name = SanaSprintWeights.controlBlock(index) + ".residual"
        return [
            Suspicion(.scaled, "the conditioning scale is left out") { $0.skipsControlScale = true },
            Suspicion(.biasMissing, "the bias of \(name) is missing", edits: [name + ".bias": WeightEdit.zero]),
        ]
            + [index - 1, index + 1].filter { (0..<configuration.branch.layers).contains($0) }.map { other in
                Suspicion(
                    .wrongTensor, "\(name) is that of block \(other)", replacing: name, with: SanaSprintWeights.controlBlock(other) + ".residual")
            }
    }

    /// Of a block of the base, whose input has residuals in it.
    var joined: [Suspicion] {
        [otherWiring, Suspicion(.partMissing, "what the control network adds is left out") { $0.skipsControl = true }]
    }
}
