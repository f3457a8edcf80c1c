import Inference
import Parity
import Quality
import Tensors

/// P6 of models before distillation: sampling them in TrigFlow's terms changes nothing of what they say (SANA-Sprint, proposition 3.1).
///
/// With the velocities of this model, in float64: TrigFlow's estimate cos(t) x - sin(t) sigma F is the flow model's own, sigma (x_fm - tau v); and
/// guidance of F is F of guidance.
struct TrigFlowRung: LadderRung {
    private(set) var outcome = Outcome()

    private static let times: [Float] = [1e-6, 1e-3, 0.1, 0.3, 0.6, .pi / 4, 1.1, 1.3, 1.5, 1.5683, 1.5708]
    private static let (guidance, prompts, tokens) = (4.5, 2, 7)

    init(_ inputs: LayerInputs) throws {
        let model = inputs.configuration
        let c = model.transformer
        guard inputs.tokens != nil, !c.embedsGuidance else { return }
        var numbers = TestNumbers(seed: 5)
        let latents = try numbers.tensor([c.channels, LayerInputs.side * c.patch, LayerInputs.side * c.patch])
        var features: [Tensor] = []
        for _ in 0..<Self.prompts { features.append(try numbers.tensor([Self.tokens, c.captionChannels])) }
        let steps = Self.times.map { TrigFlow(from: $0, to: 0, sigma: model.scheduler.sigmaData) }
        let moments = try steps.map { step in
            let input = try step.input(latents)
            return Moment(time: step.flowTime, inputs: [input, input], draws: [0, 1])
        }
        let velocities = try ModelParts(model, from: inputs.plain, on: inputs.executor).velocities(Self.guidance, moments, features)
        var measured = Measurements(limit: 1e-14)
        for (step, velocity) in zip(steps, velocities) {
            let (formulas, x) = (step.formulas, latents.elements.map(Double.init))
            let (words, none) = (velocity[0].elements.map(Double.init), velocity[1].elements.map(Double.init))
            let guided = zip(words, none).map { $1 + Self.guidance * ($0 - $1) }
            func flows(_ velocity: [Double]) -> [Double] { zip(x, velocity).map { formulas.flow(input: formulas.input($0), velocity: $1) } }
            let flow = flows(guided)
            func compare(_ what: String, _ expected: [Double], _ found: [Double]) {
                var metrics = Metrics()
                for (a, b) in zip(expected, found) { metrics.add(reference: a, other: b, grid: UnitsInLastPlace(coarserOf: .f64, .f64)) }
                measured.add("\(what) at flow time \(Decimal.short(formulas.tau))", metrics)
            }
            compare(
                "the picture", zip(x, guided).map { formulas.sigma * (formulas.input($0) - formulas.tau * $1) },
                zip(x, flow).map { formulas.denoised($0, flow: $1) })
            compare("guidance", zip(flows(words), flows(none)).map { $1 + Self.guidance * ($0 - $1) }, flow)
        }
        outcome = measured.outcome(
            "P6", "in TrigFlow's terms the model predicts the same picture", unit: "comparisons in float64",
            reason: "an identity of the formulas, for every velocity: only float64's own rounding is left")
    }
}
