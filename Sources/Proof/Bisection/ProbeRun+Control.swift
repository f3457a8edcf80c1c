import Inference
import ProbePoints
import StrictJSON
import Tensors

/// The steps of a control network, and what it adds to those of its base.
extension ProbeRun {
    /// Whether the run followed a picture.
    private var isControlled: Bool { values.request("conditioning_scale") != nil || values.has(Probe(.controlLatents)) || values.has(Probe(.controlPixels)) }

    /// What a block of the base takes, or the last norm as the block behind the last: the tokens of the block before it with what was added to them.
    func joined(_ probe: Probe) throws -> Tensor? {
        guard let x = try value(probe.previous(.patches)) else { return nil }
        guard isControlled, let index = probe.index else { return x }
        // A model without a control network cannot say what one added.
        guard let control = configuration.control else { return nil }
        let residual = control.wiring == .nvlabs ? index - 1 : index - 2
        guard (0..<control.branch.layers).contains(residual), !slip.skipsControl else { return x }
        return try value(.controlResidual, residual, step: probe.step).map { try x.plus($0) }
    }

    func control(_ probe: Probe) throws -> Tensor? {
        guard isControlled, let control = configuration.control else { return nil }
        switch probe.kind {
        case .controlOutput: return try value(.controlPixels).map { try parts.encode($0) }
        case .controlLatents:
            guard let vae = configuration.vae else { return nil }
            return try value(.controlOutput)?.map { $0 * vae.scalingFactor }
        case .controlInput: return try value(.controlLatents).map { try parts.residentControl().input($0) }
        case .controlBlock: return try block(probe, control)
        case .controlResidual:
            let scale = slip.skipsControlScale ? 1 : values.request("conditioning_scale")?.double ?? 1
            return try value(.controlBlock, probe.index, step: probe.step).map {
                try parts.residentControlBlock(probe.index ?? 0).residual($0, scale: scale)
            }
        default: return nil
        }
    }

    private func block(_ probe: Probe, _ control: ControlConfiguration) throws -> Tensor? {
        let (step, patch) = (probe.step, control.branch.patch)
        let input = probe.index == 0 ? try start(control, step) : try value(.controlBlock, (probe.index ?? 0) - 1, step: step)
        guard let input, let size = try latentSize(), let (modulation, caption) = try told(control, step) else { return nil }
        return try parts.residentControlBlock(probe.index ?? 0).block(
            input, modulation: modulation, caption: caption, height: size.height / patch, width: size.width / patch)
    }

    /// Where the branch sets out from.
    private func start(_ control: ControlConfiguration, _ step: Int?) throws -> Tensor? {
        let tokens =
            switch control.wiring {
            case .nvlabs: try value(.block, 0, step: step)
            case .diffusers where control.hasEmbedders: try value(.input, step: step).map { try parts.residentControl().patches($0) }
            case .diffusers: try value(.patches, step: step)
            }
        guard let tokens, !slip.skipsControl else { return tokens }
        return try value(.controlInput).map { try tokens.plus($0) }
    }

    /// What its blocks are told of time, guidance and prompt.
    private func told(_ control: ControlConfiguration, _ step: Int?) throws -> (modulation: Tensor, caption: Tensor)? {
        guard control.hasEmbedders else {
            guard let modulation = try value(.modulation, step: step), let caption = try value(.caption) else { return nil }
            return (modulation.reshaped([1, modulation.count]), caption)
        }
        guard let time = try value(.timestep, step: step)?.elements.first, let guidance = try value(.guidance)?.elements.first,
            let features = try value(.promptEmbeds)
        else { return nil }
        let own = try parts.residentControl().conditioning
        let scale = configuration.transformer.guidanceScale
        let modulation = try own.embed(time: Double(time), guidance: scale == 0 ? 0 : Double(guidance) / scale).modulation
        return (modulation, try own.caption(features))
    }
}
