import Inference
import Operations
import Parity
import ProbePoints
import Tensors

extension ForcedRun {
    /// What a control network makes of the picture's latents, every block of it and what that adds in every step, and the whole transformer's
    /// `dit.stepI.output` with it.
    func control(into sink: ProbeCollector) throws(InferenceError) {
        guard let control = pipeline.configuration.control else { return }
        let (c, parts) = (control.branch, pipeline.parts)
        let resident = try parts.residentControl()
        guard let latents = try allocating(try reference.unbatched(Probe(.controlLatents))),
            let features = try allocating(try reference.rows(Probe(.promptEmbeds), reference.kept(Probe(.promptMask)))),
            let base = try allocating(try reference.rows(Probe(.caption), features.rows))
        else { return }
        let (height, width) = (latents.shape[1] / c.patch, latents.shape[2] / c.patch)
        sink.record(Probe(.controlInput), EncodedTensor(try resident.input(latents)).batched)
        guard let hint = try allocating(try reference.rows(Probe(.controlInput), height * width)) else { return }
        let caption = control.hasEmbedders ? try resident.conditioning.caption(features) : base
        var told: [Told] = []
        for step in 0..<steps { if let own = try self.told(step, control, resident, hint) { told.append(own) } }
        for index in 0..<c.layers {
            let block = try parts.residentControlBlock(index)
            for own in told {
                let probe = Probe(.controlBlock, index, step: own.step)
                let input = index == 0 ? own.start : try allocating(try reference.rows(Probe(.controlBlock, index - 1, step: own.step), height * width))
                if let input {
                    let output = try block.block(input, modulation: own.modulation, caption: caption, height: height, width: width)
                    sink.record(probe, EncodedTensor(output).batched)
                }
                if let tokens = try allocating(try reference.rows(probe, height * width)) {
                    sink.record(Probe(.controlResidual, index, step: own.step), EncodedTensor(try block.residual(tokens)).batched)
                }
            }
        }
        let transformer = try pipeline.transformer(isControlled: true)
        let (prompt, own) = (try transformer.prompt(features), try transformer.hint(latents, scale: 1))
        for told in told {
            let velocity = try transformer.velocity(told.latents, time: told.time, guidance: guidance, prompt: prompt, hint: own)
            sink.record(Probe(.output, step: told.step), EncodedTensor(velocity).batched)
        }
    }

    /// What the branch is told in one step, and where it sets out from.
    private struct Told {
        let step: Int
        let time: Double
        let latents: Tensor
        let modulation: Tensor
        let start: Tensor
    }

    /// From the reference's values; nil where they were not recorded.
    private func told(
        _ step: Int, _ control: ControlConfiguration, _ resident: ModelParts<CPU>.ResidentControl, _ hint: Tensor
    ) throws(InferenceError) -> Told? {
        guard let latents = try allocating(try reference.unbatched(Probe(.input, step: step))),
            let time = reference[Probe(.timestep, step: step)]?.doubles.first,
            let base = try allocating(try reference.unbatched(Probe(.modulation, step: step)))
        else { return nil }
        let modulation = control.hasEmbedders ? try resident.conditioning.embed(time: time, guidance: guidance).modulation : base
        let tokens: Tensor?
        switch control.wiring {
        case .nvlabs: tokens = try allocating(try reference.rows(Probe(.block, 0, step: step), hint.rows))
        case .diffusers where control.hasEmbedders: tokens = try resident.patches(latents)
        case .diffusers: tokens = try allocating(try reference.rows(Probe(.patches, step: step), hint.rows))
        }
        guard let tokens else { return nil }
        return Told(step: step, time: time, latents: latents, modulation: modulation, start: try allocating(try tokens.plus(hint)))
    }
}
