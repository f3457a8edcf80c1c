import Glibc

/// The noise of PyTorch's CPU generator: `torch.Generator("cpu").manual_seed(seed)` and `torch.randn(count, dtype=torch.float32)`.
///
/// Calls in the same order give the same values, bit for bit as an x86 CPU with AVX2 computes them in PyTorch. PyTorch's builds for
/// other instruction sets take another logarithm and another sine, and differ from this one, as from each other, by about 2e-7.
/// Source: PyTorch's ATen/native/cpu/DistributionTemplates.h and ATen/core/DistributionsHelper.h.
package struct TorchGenerator: Sendable {
    private var engine: MersenneTwister
    /// The second value of the last pair that the method for short tensors made; it outlives calls, and long tensors leave it alone.
    private var spare: Double?

    /// A generator at the start of its sequence. PyTorch uses the low 32 bits of the seed only.
    package init(seed: UInt64) {
        engine = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
    }

    /// The next `count` values of the standard normal distribution.
    ///
    /// As in PyTorch, fewer than 16 values come from another method than 16 and more, so one call for 32 values and two calls
    /// for 16 agree, but two calls for 8 do not give what one for 16 gives.
    package mutating func randn(_ count: Int) -> [Float] {
        precondition(count >= 0, "\(count) values")
        return count < 16 ? (0..<count).map { _ in Float(nextNormal()) } : filled(count)
    }

    /// `normal_fill`: uniform values first, then Box-Muller in place, in blocks of 16.
    private mutating func filled(_ count: Int) -> [Float] {
        var values: [Float] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(nextUniform()) }
        for block in stride(from: 0, through: count - 16, by: 16) { VectorBoxMuller.transform(&values, at: block) }
        if !count.isMultiple(of: 16) {  // the last 16 values are drawn anew, over values that were final
            for index in count - 16..<count { values[index] = nextUniform() }
            VectorBoxMuller.transform(&values, at: count - 16)
        }
        return values
    }

    /// `normal_distribution<double>`: one pair at a time, the sine kept for the next call.
    private mutating func nextNormal() -> Double {
        if let value = spare {
            spare = nil
            return value
        }
        let u1 = nextUniformDouble()
        let u2 = nextUniformDouble()
        let radius = sqrt(-2 * log1p(-u2))
        let angle = 2 * Double.pi * u1
        spare = radius * sin(angle)
        return radius * cos(angle)
    }

    /// 24 bits in [0, 1).
    private mutating func nextUniform() -> Float {
        Float(engine.next() & 0xFF_FFFF) * 0x1p-24
    }

    /// 53 bits in [0, 1); the first word drawn is the upper one.
    private mutating func nextUniformDouble() -> Double {
        let high = UInt64(engine.next())
        let bits = high << 32 | UInt64(engine.next())
        return Double(bits & (1 << 53 - 1)) * 0x1p-53
    }
}
