/// The Box-Muller transform with the logarithm, sine and cosine of PyTorch's AVX2 build, in scalar form and with the same roundings.
///
/// The polynomials are those of Cephes as in ATen/native/cpu/avx_mathfun.h (Julien Pommier, Giovanni Garberoglio; zlib license). PyTorch is
/// compiled by GCC, which contracts a product and the sum that uses it into one fused operation there: every `fused`
/// below is such a place, and what is written with `*` and `+` rounds twice there too. Arguments are what the uniform
/// generator can give: (0, 1] for the logarithm, [0, 2 pi) for the angle.
enum VectorBoxMuller {
    /// Turns 16 uniform values from `start` on, eight u1 and then eight u2, into normal ones: eight cosines, eight sines.
    static func transform(_ values: inout [Float], at start: Int) {
        for index in start..<start + 8 {
            let radius = (-2 * logarithm(1 - values[index])).squareRoot()
            let (sine, cosine) = sineAndCosine(6.2831855 * values[index + 8])
            // PyTorch adds the mean here, which turns a negative zero into a positive one.
            values[index] = radius * cosine + 0
            values[index + 8] = radius * sine + 0
        }
    }

    /// `log256_ps`.
    private static func logarithm(_ value: Float) -> Float {
        var exponent = Float(Int32(value.bitPattern >> 23) - 0x7F) + 1
        let mantissa = Float(bitPattern: value.bitPattern & 0x007F_FFFF | 0x3F00_0000)  // [0.5, 1)
        var x = mantissa - 1
        if mantissa < 0.70710677 {
            exponent -= 1
            x += mantissa
        }
        let square = x * x
        var y: Float = 7.0376836292e-2
        y = fused(y, x, -1.1514610310e-1)
        y = fused(y, x, 1.1676998740e-1)
        y = fused(y, x, -1.2420140846e-1)
        y = fused(y, x, 1.4249322787e-1)
        y = fused(y, x, -1.6668057665e-1)
        y = fused(y, x, 2.0000714765e-1)
        y = fused(y, x, -2.4999993993e-1)
        y = fused(y, x, 3.3333331174e-1)
        y = fused(y * x, square, exponent * -2.12194440e-4)
        y = fused(square, -0.5, y)
        return fused(exponent, 0.693359375, x + y)
    }

    /// `sincos256_ps`.
    private static func sineAndCosine(_ angle: Float) -> (sine: Float, cosine: Float) {
        let octant = (Int32(angle * 1.27323954473516) + 1) & ~1
        let y = Float(octant)
        // What is left of the angle, in [-pi/4, pi/4]: pi/4 comes in three parts, for precision.
        var x = fused(y, -0.78515625, angle)
        x = fused(y, -2.4187564849853515625e-4, x)
        x = fused(y, -3.77489497744594108e-8, x)
        let square = x * x

        var cosine: Float = 2.443315711809948e-5
        cosine = fused(cosine, square, -1.388731625493765e-3)
        cosine = fused(cosine, square, 4.166664568298827e-2)
        cosine = fused(cosine * square, square, -0.5 * square) + 1

        var sine: Float = -1.9515295891e-4
        sine = fused(sine, square, 8.3321608736e-3)
        sine = fused(sine, square, -1.6666654611e-1)
        sine = fused(sine * square, x, x)

        if octant & 2 != 0 { swap(&sine, &cosine) }
        return (octant & 4 == 0 ? sine : -sine, (octant - 2) & 4 == 0 ? -cosine : cosine)
    }

    /// a * b + c with one rounding.
    @inline(__always)
    private static func fused(_ a: Float, _ b: Float, _ c: Float) -> Float { c.addingProduct(a, b) }
}
