import PackedFiles

/// Rounds weights to a scheme's grid up or down at random, to the nearer neighbour more often.
///
/// That is an independent draw of the noise that honest rounding makes: as dependent on rows, scales and outliers, twice its power, and
/// none at all where a value lies on the grid. What it does to a layer predicts what quantizing does to it, without a look at the
/// packed values.
struct StochasticRounding {
    private var state: UInt64

    /// - Parameter seed: the name of a tensor; equal seeds and rows give equal draws.
    init(seed: String, row: Int) {
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

    /// A number in 0 ..< 1.
    private mutating func uniform() -> Float { Float(bits() >> 40) * 0x1p-24 }

    /// A row on the grid of a 16-bit scheme; what is not finite stays.
    @unsafe mutating func round(_ row: UnsafeBufferPointer<Float>, to scheme: Scheme, into values: UnsafeMutableBufferPointer<Float>) {
        for index in 0..<row.count { unsafe values[index] = scheme == .f16 ? float16(row[index]) : scheme == .bf16 ? bfloat16(row[index]) : row[index] }
    }

    /// A row on its grid of symmetric int8; gives its scale.
    @unsafe mutating func int8(_ row: UnsafeBufferPointer<Float>, into values: UnsafeMutableBufferPointer<Int8>) -> Float {
        var largest: Float = 0
        for index in 0..<row.count { largest = unsafe max(largest, abs(row[index])) }
        let scale = largest / 127 == 0 ? 1 : largest / 127
        for index in 0..<row.count { unsafe values[index] = Int8(min(127, max(-127, (row[index] / scale + uniform()).rounded(.down)))) }
        return scale
    }

    private mutating func bfloat16(_ value: Float) -> Float {
        guard value.isFinite else { return value }
        return Float(bitPattern: (value.bitPattern &+ UInt32(bits() >> 48)) & 0xFFFF_0000)
    }

    private mutating func float16(_ value: Float) -> Float {
        guard value.isFinite else { return value }
        // Below the normal numbers the grid has the constant step 2^-24.
        if abs(value) < 0x1p-14 { return (value * 0x1p24 + uniform()).rounded(.down) * 0x1p-24 }
        return Float(bitPattern: (value.bitPattern &+ UInt32(bits() >> 51)) & ~0x1FFF)
    }
}
