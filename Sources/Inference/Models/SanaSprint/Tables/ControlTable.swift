import Tensors

/// The weights of a control network, in the order in which a file has them.
struct ControlRows: Sendable {
    /// Nil where the base's serves.
    let patch: Parameters?
    let conditioning: ConditioningRows?
    /// Of the embedded picture, before it is added to where the branch sets out from.
    let input: Parameters
    let blocks: [TransformerRows.Block]
    /// By block: what becomes of its tokens before they are added to the base's.
    let residuals: [Parameters]
    let rows: [WeightRow]

    init(_ control: ControlConfiguration, _ fusions: Fusions) {
        var table = TableBuilder()
        let (c, width) = (control.branch, control.branch.width)
        patch =
            control.hasEmbedders
            ? table.linear("control.patch", "patch_embed.proj", width, c.channels, role: .sensitiveLinear, bias: true, kernel: c.patch) : nil
        conditioning = control.hasEmbedders ? ConditioningRows(c, nil, prefix: "control", embedsGuidance: control.embedsGuidance, &table) : nil
        input = table.linear("control.input", "input_block", width, width, role: .sensitiveLinear, bias: true)
        var (blocks, residuals): ([TransformerRows.Block], [Parameters]) = ([], [])
        for index in 0..<c.layers {
            let name = SanaSprintWeights.controlBlock(index)
            blocks.append(TransformerRows.Block(name, index, c, fusions, &table))
            residuals.append(table.linear(name + ".residual", "controlnet_blocks.\(index)", width, width, role: .linear, bias: true))
        }
        (self.blocks, self.residuals) = (blocks, residuals)
        rows = table.rows
    }
}
