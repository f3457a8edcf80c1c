// The int8 contract of a row (Formats/schemes.md, "The integer contract"), of which every quantizer is made: weights, tokens and pixels.
#ifndef CKERNELS_QUANTIZE_H
#define CKERNELS_QUANTIZE_H

#include "kernel_math.h"

/// The scale of numbers of which this is the largest magnitude: a 127th of it, or 1 where that is 0.
CK_INLINE float ck_scale_of(float largest) {
    float scale = largest / 127.0f;
    return scale == 0 ? 1.0f : scale;
}

/// The scale of a row.
///
/// The comparisons are written so that a NaN loses, as in maxps: results are the same in any order of evaluation.
CK_INLINE float ck_row_scale(const float *x, size_t k) {
    enum { lanes = 32 };
    float maxima[lanes] = {0};
    size_t i = 0;
    for (; i + lanes <= k; i += lanes) {
        for (size_t j = 0; j < lanes; j++) {
            float a = fabsf(x[i + j]);
            maxima[j] = a > maxima[j] ? a : maxima[j];
        }
    }
    // In halves: one after the other, the lanes would wait for each other for longer than a short row takes.
    _Pragma("clang loop unroll(full)")
    for (size_t half = lanes / 2; half >= 8; half /= 2) {
        for (size_t j = 0; j < half; j++) { maxima[j] = maxima[j + half] > maxima[j] ? maxima[j + half] : maxima[j]; }
    }
    float largest = 0;
    for (size_t j = 0; j < 8; j++) { largest = maxima[j] > largest ? maxima[j] : largest; }
    for (; i < k; i++) {
        float a = fabsf(x[i]);
        largest = a > largest ? a : largest;
    }
    return ck_scale_of(largest);
}

/// x / scale, rounded half to even and clamped to [-127, 127], as a float; NaN becomes -127.
CK_INLINE float ck_code(float x, float scale) {
    float v = x / scale;
    v = v > -127.0f ? v : -127.0f;
    v = v < 127.0f ? v : 127.0f;
    return (v + ck_round_magic) - ck_round_magic;
}

CK_INLINE int32_t ck_quantized(float x, float scale) { return (int32_t)ck_code(x, scale); }

#endif
