// Nonlinear functions. The float ones are the operations of CKernels' convolution/around.c, one by one.
#pragma once
#include "two.h"

namespace gpu {

// e^(x + rest) for x limited to -87 ... 88, within 1 ulp; NaN as 88.
GPU_FN float exponential(float x, float rest = 0) {
    rest = x > -87.0f && x < 88.0f ? rest : 0;
    x = smaller(x, 88.0f);
    x = larger(x, -87.0f);
    const float shifted = fma(x, 0x1.715476p+0f, 12582912.0f);  // log2 e; the nearest integer n in the low bits
    const float n = shifted - 12582912.0f;
    // x - n ln 2 in two steps, ln 2 split so that the first product is exact.
    float r = fma(n, -0x1.62e4p-1f, x);
    r = fma(n, -0x1.7f7d1cp-20f, r);
    r = r + rest;
    const float power = asFloat((asBits(shifted) + 127u) << 23);
    float p = 0x1.a01a02p-13f;
    p = fma(p, r, 0x1.6c16c2p-10f);
    p = fma(p, r, 0x1.111112p-7f);
    p = fma(p, r, 0x1.555556p-5f);
    p = fma(p, r, 0x1.555556p-3f);
    p = fma(p, r, 0.5f);
    p = fma(p, r, 1.0f);
    p = fma(p, r, 1.0f);
    return p * power;
}

GPU_FN float silu(float x) { return divide(x, 1.0f + exponential(-x)); }

// 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3), as x / (1 + e^-2u): no cancellation on the left. The argument has two floats, since an
// exponential turns its rounding into as many as its size.
GPU_FN float gelu(float x) {
    const two square = productOf(x, x), inner = add(multiply(square, two{0x1.6e4e26p-5f, 0x1.a9003ep-30f}), 1.0f);
    const two u = multiply(multiply(inner, x), two{-0x1.988454p+0f, 0x1.857936p-25f});
    return divide(x, 1.0f + exponential(u.hi, u.lo));
}

// ---- In double, as CKernels' shared/kernel_math.h has them: where a softmax of capped scores needs it.

GPU_FN double exponentialOf(double x) {
    double t = x * 0x1.71547652b82fep+0;
    t = t < -1020.0 ? -1020.0 : t;
    t = t > 1020.0 ? 1020.0 : t;
    const double shifted = t + 0x1.8p52, r = t - (shifted - 0x1.8p52);
    const double power = asDouble((asBits(shifted) << 52) + (1023ull << 52));
    double p = 1.3215486790144307e-06;
    p = p * r + 1.5252733804059840e-05;
    p = p * r + 1.5403530393381608e-04;
    p = p * r + 1.3333558146428443e-03;
    p = p * r + 9.6181291076284770e-03;
    p = p * r + 5.5504108664821576e-02;
    p = p * r + 2.4022650695910072e-01;
    p = p * r + 6.9314718055994531e-01;
    p = p * r + 1.0;
    return p * power;
}
GPU_FN double tangentOf(double x) {
    const double far = 1.0 - 2.0 / (1.0 + exponentialOf(2.0 * x)), s = x * x;
    const double near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0)));
    return s < 0x1p-14 ? near : far;
}
// By the error function: x / 2 * erfc(-x / sqrt 2), erfc within 1.2e-7 of itself (Numerical Recipes, erfcc).
GPU_FN double exactGELU(double x) {
    const double z = x * 0.70710678118654752, a = z < 0 ? -z : z, t = 1.0 / (1.0 + 0.5 * a);
    double p = 0.17087277;
    p = p * t + -0.82215223;
    p = p * t + 1.48851587;
    p = p * t + -1.13520398;
    p = p * t + 0.27886807;
    p = p * t + -0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t + -1.26551223;
    const double far = t * exponentialOf(p - a * a);
    return x * 0.5 * (z < 0 ? far : 2.0 - far);
}
}
