// Activations to int8 with one scale per row, and back.
#include "internal.h"

#include <math.h>

// Adding and subtracting 1.5 * 2^23 rounds a float of magnitude below 2^22 to the nearest integer, ties to even. Unlike
// rintf it needs no instruction beyond the baseline.
static const float round_magic = 12582912.0f;

// The comparisons are written so that a NaN loses, as in maxps: results are the same in any order of evaluation.
CK_INLINE float row_scale(const float *x, size_t k) {
    enum { lanes = 32 };
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

CK_INLINE void quantize_body(const float *x, size_t ldx, int8_t *q, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        const float *row = x + r * ldx;
        int8_t *out = q + r * k;
        float scale = row_scale(row, k);
        s[r] = scale;
        for (size_t i = 0; i < k; i++) {
            float v = row[i] / scale;
            v = v > -127.0f ? v : -127.0f;
            v = v < 127.0f ? v : 127.0f;
            out[i] = (int8_t)(int32_t)((v + round_magic) - round_magic);
        }
    }
}
CK_VARIANTS(quantize, (const float *x, size_t ldx, int8_t *q, float *s, size_t m, size_t k), (x, ldx, q, s, m, k))

CK_INLINE void dequantize_body(const int8_t *q, const float *s, float *y, size_t ldy, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        for (size_t i = 0; i < k; i++) { y[r * ldy + i] = (float)q[r * k + i] * s[r]; }
    }
}
CK_VARIANTS(dequantize, (const int8_t *q, const float *s, float *y, size_t ldy, size_t m, size_t k), (q, s, y, ldy, m, k))

void ck_quantize_rows_s8(int isa, const void *x, size_t ldx, void *q, void *s, size_t m, size_t k) {
    CK_CALL(isa, quantize, x, ldx, q, s, m, k);
}

void ck_dequantize_rows_s8(int isa, const void *q, const void *s, void *y, size_t ldy, size_t m, size_t k) {
    CK_CALL(isa, dequantize, q, s, y, ldy, m, k);
}
