import Inference
import Parity
import ProbePoints
import Tensors

/// Factors and times between the parts of the pipeline that engines forget or take for one another.
enum Constants {
    static func cause(_ pair: TensorPair, _ probe: Probe, _ configuration: SanaSprintConfiguration, _ run: ProbeRun) -> Cause? {
        if let cause = time(pair, probe, run) { return cause }
        if probe.kind == .bytes, let residual = pair.residual({ $0[$1 + 2 - 2 * ($1 % 3)] }) {
            return Cause(.channelOrder, "the colours are in the order blue, green, red", residual: residual)
        }
        let sigma = configuration.scheduler.sigmaData
        var factors: [(Double, Cause.Kind, String)] = [
            (1 / sigma, .scaled, "sigma_data, \(sigma), is left out"), (sigma, .scaled, "sigma_data, \(sigma), is multiplied once too often"),
        ]
        if let text = configuration.text, probe.kind == .embeddings {
            let root = Double(text.width).squareRoot()
            factors.insert((1 / root, .scaled, "the factor sqrt(width) = \(Decimal.short(root)) of the embeddings is left out"), at: 0)
        }
        if let vae = configuration.vae, probe.kind == .decoderInput || probe.kind == .latents {
            let factor = vae.scalingFactor
            factors.insert((factor, .scaled, "the latents are not divided by scaling_factor, \(factor)"), at: 0)
            factors.insert((factor * factor, .scaled, "the latents are multiplied by scaling_factor, \(factor), not divided"), at: 1)
        }
        for (factor, kind, text) in factors {
            if let residual = pair.residual({ Float(factor * Double($0[$1])) }) { return Cause(kind, text, residual: residual) }
        }
        return nil
    }

    /// The flow time of a step, which engines take from another step or in another unit.
    private static func time(_ pair: TensorPair, _ probe: Probe, _ run: ProbeRun) -> Cause? {
        guard probe.kind == .timestep, let step = probe.step, let times = run.values.times(), times.indices.contains(step) else { return nil }
        let found = Double(pair.found.span[0])
        func flow(_ index: Int) -> Double? { times.indices.contains(index) ? TrigFlow(from: times[index], to: 0, sigma: 1).flowTime : nil }
        var candidates: [(Double?, String)] = [
            (flow(step + 1), "the time is that of the next step: off by one"), (flow(step - 1), "the time is that of the step before: off by one"),
            (Double(times[step]), "the time is the TrigFlow time, not the flow time"), (flow(step).map { $0 * 1000 }, "the time is multiplied by 1000"),
            (flow(step).map { 1 - $0 }, "the time runs backwards"),
        ]
        candidates.append((flow(step).map { ($0 * 1000).rounded() / 1000 }, "the time is rounded to thousandths"))
        for case (let value?, let text) in candidates where abs(value - found) <= 1e-5 * max(abs(value), 1e-3) {
            return Cause(.timestep, text, residual: abs(value - found) / max(abs(value), 1e-30))
        }
        return nil
    }
}
