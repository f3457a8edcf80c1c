import TestKit

/// Distance of `value` from `exact` in units of the last place of a Float there. Equal infinities, and NaN for NaN, are 0 apart.
func ulps(_ value: Float, _ exact: Double) -> Double {
    let rounded = Float(exact)
    if value == rounded || (value.isNaN && exact.isNaN) { return 0 }
    guard value.isFinite, rounded.isFinite else { return .infinity }
    return abs(Double(value) - exact) / Double(rounded.ulp)
}

/// The largest `ulps` over a whole result.
func worstUlps(_ values: [Float], _ exact: [Double]) -> Double {
    precondition(values.count == exact.count)
    return zip(values, exact).map(ulps).max() ?? 0
}

/// Whether two results are the same bits. NaNs count as equal: which payload survives an operation on two of them is not fixed.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) }
}

extension SplitMix64 {
    /// Uniform floats in [-range, range].
    mutating func floats(_ count: Int, range: Float = 3) -> [Float] {
        (0..<count).map { _ in Float.random(in: -range...range, using: &self) }
    }

    /// Uniform bytes in [-127, 127].
    mutating func bytes(_ count: Int) -> [Int8] {
        (0..<count).map { _ in Int8.random(in: -127...127, using: &self) }
    }
}

/// Finite floats of every exponent and sign: the corners of the mantissa and some random ones of each.
let everyMagnitude: [Float] = {
    var random = SplitMix64(seed: 7)
    var result: [Float] = []
    for exponent in UInt32(0)..<255 {
        var mantissas: [UInt32] = [
            0, 1, 0x0FFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x3000, 0x7FFF, 0x8000, 0x8001, 0x18000, 0x3FFFFF, 0x400000, 0x7FEFFF, 0x7FF000,
            0x7FFFFF,
        ]
        mantissas += (0..<12).map { _ in UInt32.random(in: 0..<0x800000, using: &random) }
        for mantissa in mantissas {
            result.append(Float(bitPattern: exponent << 23 | mantissa))
            result.append(Float(bitPattern: 1 << 31 | exponent << 23 | mantissa))
        }
    }
    return result
}()
