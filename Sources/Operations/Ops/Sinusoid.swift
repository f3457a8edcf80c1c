import Glibc
package import Tensors

/// The sinusoidal embedding of a number: cosines, then sines, of value * 10000 ** (-i / (channels / 2)).
///
/// Source: get_timestep_embedding with flip_sin_to_cos and downscale_freq_shift 0 (diffusers models/embeddings.py). Computed in double.
package enum Sinusoid {
    package static func embed(_ value: Double, channels: Int) throws(MachineError) -> Tensor {
        let half = channels / 2
        let angles = (0..<half).map { value * exp(-log(10_000) * Double($0) / Double(half)) }
        return try Tensor([1, 2 * half], angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) })
    }
}
