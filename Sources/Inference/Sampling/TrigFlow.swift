import Glibc
package import Tensors

/// One step of consistency sampling in the TrigFlow parameterization, with a network that predicts flow-matching velocities.
///
/// x_t = cos(t) x_0 + sin(t) z with z of standard deviation sigma. The network sees the same point of the straight path between
/// picture and noise: flow time sin t / (sin t + cos t), latents scaled to match. All scalars and sums are computed in double and rounded
/// once per element. Source: diffusers SanaSprintPipeline.__call__ and SCMScheduler.step; arXiv 2503.09641, proposition 3.1.
package struct TrigFlow {
    private let time: Double
    private let next: Double
    private let sigma: Double

    /// A step from `time` to `next`.
    package init(from time: Float, to next: Float, sigma: Double) {
        (self.time, self.next, self.sigma) = (Double(time), Double(next), sigma)
    }

    /// The flow time, 0 for a picture and 1 for noise.
    package var flowTime: Double { sin(time) / (sin(time) + cos(time)) }

    /// The norm of (flowTime, 1 - flowTime), the factor between the two parameterizations.
    private var scale: Double { (flowTime * flowTime + (1 - flowTime) * (1 - flowTime)).squareRoot() }

    /// The network's input at `latents`.
    package func input(_ latents: Tensor) throws(AllocationError) -> Tensor {
        let scale = scale
        return try combine([latents]) { $0[0] / sigma * scale }
    }

    /// The scheduler's estimate of the clean latents, times sigma.
    package func denoised(_ latents: Tensor, input: Tensor, velocity: Tensor) throws(AllocationError) -> Tensor {
        let (tau, scale, cosine, sine) = (flowTime, scale, cos(time), sin(time))
        return try combine([latents, input, velocity]) { values in
            let flow = ((1 - 2 * tau) * values[1] + (1 - 2 * tau + 2 * tau * tau) * values[2]) / scale
            return cosine * values[0] - sine * flow * sigma
        }
    }

    /// The latents at the next time, with fresh unit noise.
    package func renoised(_ denoised: Tensor, noise: Tensor) throws(AllocationError) -> Tensor {
        let (cosine, sine) = (cos(next), sin(next))
        return try combine([denoised, noise]) { cosine * $0[0] + sine * ($0[1] * sigma) }
    }

    private func combine(_ tensors: [Tensor], _ formula: ([Double]) -> Double) throws(AllocationError) -> Tensor {
        var result = try Tensor(tensors[0].shape, zeroed: false)
        var values = [Double](repeating: 0, count: tensors.count)
        var elements = result.mutableSpan
        for index in elements.indices {
            for (place, tensor) in tensors.enumerated() { values[place] = Double(tensor.span[index]) }
            elements[index] = Float(formula(values))
        }
        return result
    }
}
