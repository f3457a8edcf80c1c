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

    /// The steps of a plan, one after the other.
    package static func steps(of plan: TimestepPlan, _ scheduler: SchedulerConfiguration) throws(InferenceError) -> [TrigFlow] {
        let times = try plan.times(maximumSteps: scheduler.maximumSteps)
        return zip(times, times.dropFirst()).map { TrigFlow(from: $0, to: $1, sigma: scheduler.sigmaData) }
    }

    /// The flow time, 0 for a picture and 1 for noise.
    package var flowTime: Double { sin(time) / (sin(time) + cos(time)) }

    /// The step's formulas, element by element in double.
    package struct Formulas {
        package let tau: Double
        package let sigma: Double
        private let cosine: Double
        private let sine: Double
        /// The norm of (tau, 1 - tau), the factor between the two parameterizations.
        private let scale: Double

        fileprivate init(_ step: TrigFlow) {
            (tau, sigma, cosine, sine) = (step.flowTime, step.sigma, cos(step.time), sin(step.time))
            scale = (tau * tau + (1 - tau) * (1 - tau)).squareRoot()
        }

        @inline(__always) package func input(_ latent: Double) -> Double { latent / sigma * scale }

        /// The velocity as TrigFlow's.
        @inline(__always) package func flow(input: Double, velocity: Double) -> Double {
            ((1 - 2 * tau) * input + (1 - 2 * tau + 2 * tau * tau) * velocity) / scale
        }

        @inline(__always) package func denoised(_ latent: Double, flow: Double) -> Double { cosine * latent - sine * flow * sigma }
    }

    package var formulas: Formulas { Formulas(self) }

    /// The network's input at `latents`.
    package func input(_ latents: Tensor) throws(MachineError) -> Tensor {
        let formulas = formulas
        return try latents.combined(latents) { latent, _ in formulas.input(latent) }
    }

    /// The scheduler's estimate of the clean latents, times sigma.
    package func denoised(_ latents: Tensor, input: Tensor, velocity: Tensor) throws(MachineError) -> Tensor {
        let formulas = formulas
        return try latents.combined(input, velocity) { latent, input, velocity in
            formulas.denoised(latent, flow: formulas.flow(input: input, velocity: velocity))
        }
    }

    /// The latents at the next time, with fresh unit noise.
    package func renoised(_ denoised: Tensor, noise: Tensor) throws(MachineError) -> Tensor {
        let (cosine, sine, sigma) = (cos(next), sin(next), sigma)
        return try denoised.combined(noise) { clean, noise in cosine * clean + sine * (noise * sigma) }
    }
}
