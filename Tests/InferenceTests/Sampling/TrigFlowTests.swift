import Inference
import Tensors
import TestKit
import Testing

/// The TrigFlow step against plain flow matching, to which it is equal: x_0 = x - tau v, then (1 - tau') x_0 + tau' noise.
@Suite struct TrigFlowTests {
    @Test(arguments: [(1.5708, 1.3), (1.3, 0.6), (0.6, 0)] as [(Float, Float)], [0.5, 1.0]) func isFlowMatching(_ times: (Float, Float), _ sigma: Double) throws
    {
        var random = SplitMix64(seed: 19)
        let (x, velocity, noise) = (try random.tensor([40]), try random.tensor([40]), try random.tensor([40]))
        let step = TrigFlow(from: times.0, to: times.1, sigma: sigma)
        let next = TrigFlow(from: times.1, to: 0, sigma: sigma)
        let input = try step.input(x)
        let denoised = try step.denoised(x, input: input, velocity: velocity)
        let clean = zip(input.elements, velocity.elements).map { Double($0) - step.flowTime * Double($1) }
        #expect(relativeError(denoised.elements.map { Double($0) / sigma }, clean) < 1e-6)
        let latents = try step.renoised(denoised, noise: noise)
        let expected = zip(clean, noise.elements).map { (1 - next.flowTime) * $0 + next.flowTime * Double($1) }
        #expect(relativeError(try next.input(latents).elements, expected) < 1e-6)
    }

    @Test func flowTimesOfThePaper() {
        for (time, flow) in [(1.5708, 1.0000037), (1.3, 0.782708), (0.6, 0.406224), (0, 0)] as [(Float, Double)] {
            #expect((TrigFlow(from: time, to: 0, sigma: 0.5).flowTime - flow).magnitude < 1e-6)
        }
    }
}
