/// Rounds to a scheme's grid up or down at random, to the nearer neighbour more often.
///
/// That is an independent draw of the noise that honest rounding makes: as dependent on rows, scales and outliers, twice its power, and
/// none at all where a value lies on the grid. What it does to a layer predicts what quantizing does to it, without a look at the
/// packed values.
package struct StochasticRounding: Sendable {
    private var state: UInt64

    /// - Parameter seed: the name of a tensor; equal seeds and rows give equal draws.
    package init(seed: String, row: Int) {
        // FNV-1a: a hash that does not change from one run to the next.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in seed.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        state = hash &+ UInt64(row) &* 0xD1B5_4A32_D192_ED03
    }

    /// 64 random bits (SplitMix64).
    private mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number of steps as one of its two whole neighbours.
    mutating func whole(_ steps: Float) -> Float { (steps + Float(bits() >> 40) * 0x1p-24).rounded(.down) }

    /// A bfloat16; what is not finite stays.
    mutating func bfloat16(_ value: Float) -> UInt16 {
        UInt16((value.isFinite ? value.bitPattern &+ UInt32(bits() >> 48) : value.bitPattern) >> 16)
    }

    /// A float16 up to the largest one; what is not finite stays.
    mutating func float16(_ value: Float) -> Float16 {
        guard value.isFinite else { return Float16(value) }
        // Below the normal numbers the grid has the constant step 2^-24.
        if abs(value) < 0x1p-14 { return Float16(whole(value * 0x1p24) * 0x1p-24) }
        let rounded = Float(bitPattern: (value.bitPattern &+ UInt32(bits() >> 51)) & ~0x1FFF)
        return Float16(min(65504, max(-65504, rounded)))
    }
}
