// Double-precision building blocks for float kernels: accurate far beyond a float's 24 bits, so that the one rounding
// at the end decides, and free of fused operations, calls and branches, so that they vectorise and give the same bits
// everywhere.
#ifndef CKERNELS_KERNEL_MATH_H
#define CKERNELS_KERNEL_MATH_H

#include "internal.h"

#include <math.h>
#include <string.h>

// Asserts that iterations are independent: true for disjoint buffers and for work in place, where element i is read
// before element i is written. Without it the compiler's overlap check sends work in place down a scalar loop.
#define CK_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")

/// Adding and subtracting 1.5 * 2^23 rounds a float of magnitude below 2^22 to the nearest integer, ties to even. Unlike rintf it needs no
/// instruction beyond the baseline; and the integer stands in the low bits of the sum.
static const float ck_round_magic = 12582912.0f;

// Vectors of eight for sums with a fixed order.
typedef float ck_f8 __attribute__((vector_size(32), aligned(4)));
typedef double ck_d8 __attribute__((vector_size(64)));

// Passed by pointer: by value their calling convention would depend on the instruction set.
CK_INLINE void ck_load8(const float *p, ck_d8 *out) {
    ck_f8 v;
    memcpy(&v, p, sizeof v);
    *out = __builtin_convertvector(v, ck_d8);
}

CK_INLINE double ck_sum8(const ck_d8 *a, const ck_d8 *b) {
    ck_d8 v = *a + *b;
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/// Sum of x[k] in double.
CK_INLINE double ck_row_sum(const float *x, size_t k) {
    ck_d8 a = {0}, b = {0};
    size_t i = 0;
    for (; i + 16 <= k; i += 16) {
        ck_d8 u, v;
        ck_load8(x + i, &u);
        ck_load8(x + i + 8, &v);
        a += u;
        b += v;
    }
    double sum = ck_sum8(&a, &b);
    for (; i < k; i++) { sum += (double)x[i]; }
    return sum;
}

/// Sum of (x[k] - center)^2 in double.
CK_INLINE double ck_row_squares(const float *x, double center, size_t k) {
    ck_d8 a = {0}, b = {0};
    ck_d8 c = {center, center, center, center, center, center, center, center};
    size_t i = 0;
    for (; i + 16 <= k; i += 16) {
        ck_d8 u, v;
        ck_load8(x + i, &u);
        ck_load8(x + i + 8, &v);
        u -= c;
        v -= c;
        a += u * u;
        b += v * v;
    }
    double sum = ck_sum8(&a, &b);
    for (; i < k; i++) {
        double u = (double)x[i] - center;
        sum += u * u;
    }
    return sum;
}

/// e^x with a relative error below 3e-10 (a hundredth of a float's half ulp). Arguments are limited to those with a
/// result in 2^-1020 ... 2^1020, far outside a float's range. NaN gives NaN.
CK_INLINE double ck_exp_double(double x) {
    double t = x * 0x1.71547652b82fep+0;  // log2 e
    t = t < -1020.0 ? -1020.0 : t;
    t = t > 1020.0 ? 1020.0 : t;
    // Adding 1.5 * 2^52 leaves the nearest integer n in the low bits of the sum.
    double shifted = t + 0x1.8p52;
    double r = t - (shifted - 0x1.8p52);
    uint64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (bits << 52) + (UINT64_C(1023) << 52);
    double power;
    memcpy(&power, &bits, 8);
    // 2^r for |r| <= 1/2: Taylor in r ln 2, coefficients (ln 2)^i / i!, remainder below (ln 2 / 2)^9 / 9!.
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

/// x / (1 + e^-x).
CK_INLINE double ck_silu_double(double x) { return x / (1.0 + ck_exp_double(-x)); }

/// 0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), written as x / (1 + e^-2u): no cancellation on the left.
CK_INLINE double ck_gelu_tanh_double(double x) {
    double u = 0.79788456080286541 * (x + 0.044715 * (x * x * x));
    return x / (1.0 + ck_exp_double(-2.0 * u));
}

/// tanh: 1 - 2 / (1 + e^2x), and near 0, where that cancels, x - x^3/3 + 2x^5/15.
CK_INLINE double ck_tanh_double(double x) {
    double far = 1.0 - 2.0 / (1.0 + ck_exp_double(2.0 * x));
    double s = x * x;
    double near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0)));
    return s < 0x1p-14 ? near : far;
}

#endif
