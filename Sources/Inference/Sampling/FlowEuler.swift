package import Tensors

/// How a picture is sampled.
package enum Sampler: String, Sendable, CaseIterable {
    /// Steps of a consistency model: each estimates the picture, and all but the last add noise anew.
    case consistency = "scm"
    /// Steps along the velocity, which is how flow models are drawn with.
    case flowEuler = "flow-euler"
}

/// A step of Euler's method along a flow model's velocity. Source: FlowMatchEulerDiscreteScheduler of diffusers.
package struct FlowEuler {
    /// The flow time, 0 for a picture and 1 for noise.
    package let flowTime: Double
    private let next: Double

    package init(from time: Float, to next: Float) { (flowTime, self.next) = (Double(time), Double(next)) }

    /// Flow times from 1 down to the last that training had, shifted to the noise, and 0: one more than steps.
    static func times(steps: Int, maximumSteps: Int, shift: Double) throws(InferenceError) -> [Float] {
        guard (1...maximumSteps).contains(steps) else {
            throw .request(subject: "sampling steps", expected: "1 to \(maximumSteps)", found: "\(steps)")
        }
        // The scheduler shifts the last of its training's times, in float32, and then once more all that lie between.
        let last = 1 / Float(maximumSteps)
        let lowest = Double(Float(shift) * last / (1 + (Float(shift) - 1) * last))
        return (0..<steps).map { index in
            let time = steps == 1 ? 1 : 1 + (lowest - 1) * Double(index) / Double(steps - 1)
            return Float(shift * time / (1 + (shift - 1) * time))
        } + [0]
    }

    package func advanced(_ latents: Tensor, velocity: Tensor) throws(MachineError) -> Tensor {
        try latents.combined(velocity) { [flowTime, next] latent, velocity in latent + (next - flowTime) * velocity }
    }
}

/// Guidance of models that are not told it: away from the velocity of no words.
package enum ClassifierFreeGuidance {
    /// negative + scale * (velocity - negative).
    package static func velocity(_ velocity: Tensor, awayFrom negative: Tensor, scale: Double) throws(MachineError) -> Tensor {
        try velocity.combined(negative) { velocity, negative in negative + scale * (velocity - negative) }
    }

    /// Whether a scale asks for it: below, the words' own velocity is taken.
    package static func isOn(_ scale: Double) -> Bool { scale > 1 }
}
