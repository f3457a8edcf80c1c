// Loops over one row that more than one kernel runs.
#ifndef CKERNELS_ROWS_H
#define CKERNELS_ROWS_H

#include "kernel_math.h"

/// y = (x - mean) / sqrt(variance + eps) * (1 + scale) + shift over k elements, in double, rounded once.
CK_INLINE void ck_layernorm_row(const float *x, const float *scale, const float *shift, double eps, float *y, size_t k) {
    double mean = ck_row_sum(x, k) / (double)k;
    double factor = 1.0 / sqrt(ck_row_squares(x, mean, k) / (double)k + eps);
    if (scale && shift) {
        CK_INDEPENDENT
        for (size_t i = 0; i < k; i++) {
            y[i] = (float)(((double)x[i] - mean) * factor * (1.0 + (double)scale[i]) + (double)shift[i]);
        }
    } else {
        for (size_t i = 0; i < k; i++) {
            double v = ((double)x[i] - mean) * factor;
            v *= 1.0 + (scale ? (double)scale[i] : 0.0);
            y[i] = (float)(v + (shift ? (double)shift[i] : 0.0));
        }
    }
}

/// The scale of a row of int8: absmax / 127, or 1 where that is 0.
///
/// The comparisons are written so that a NaN loses, as in maxps: results are the same in any order of evaluation.
CK_INLINE float ck_row_scale(const float *x, size_t k) {
    enum { lanes = 64 };
    float maxima[lanes] = {0};
    size_t i = 0;
    for (; i + lanes <= k; i += lanes) {
        for (size_t j = 0; j < lanes; j++) {
            float a = fabsf(x[i + j]);
            maxima[j] = a > maxima[j] ? a : maxima[j];
        }
    }
    float absmax = 0;
    for (size_t j = 0; j < lanes; j++) { absmax = maxima[j] > absmax ? maxima[j] : absmax; }
    for (; i < k; i++) {
        float a = fabsf(x[i]);
        absmax = a > absmax ? a : absmax;
    }
    float s = absmax / 127.0f;
    return s == 0 ? 1.0f : s;
}

/// x / scale, rounded half to even and clamped to [-127, 127]; NaN becomes -127.
///
/// Adding and subtracting 1.5 * 2^23 rounds a float of magnitude below 2^22 to the nearest integer, ties to even. Unlike
/// rintf it needs no instruction beyond the baseline.
CK_INLINE int32_t ck_quantized(float x, float scale) {
    const float magic = 12582912.0f;
    float v = x / scale;
    v = v > -127.0f ? v : -127.0f;
    v = v < 127.0f ? v : 127.0f;
    return (int32_t)((v + magic) - magic);
}

#endif
