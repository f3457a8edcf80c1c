// The register tile of all matrix products: some rows times two vectors of channels, over units of four bytes.
//
// A unit is what one lane multiplies at once: 4 int8, 2 bf16 or 1 f32 (packed products), or 2 int16 (AVX2). With 12 rows and 16 lanes,
// 24 accumulators, two weight vectors and a broadcast fill 27 of 32 registers; with 6 rows and 8 lanes 12 + 2 + 1 and a product fill 16.
#ifndef CKERNELS_TILE_H
#define CKERNELS_TILE_H

#include "internal.h"

#include <string.h>

#if CK_X86
#include "vectors16.h"

#include <immintrin.h>

typedef int32_t ck_i8x __attribute__((vector_size(32)));
typedef float ck_f8x __attribute__((vector_size(32)));

/// Makes `name`, which adds `units` of k to sum [rows][2]: of row r unit u stands at rows_at + r * row_step + u * unit_step, the units
/// of the channels at `weights` without gaps. `rows` is known where it is inlined, at most 12. Prefetches so many units ahead, where not 0.
#define CK_TILE(name, target, vector, dot, rows_ahead, weights_ahead)                                        \
    target CK_INLINE void name(                                                                              \
        const int rows, const void *rows_at, const size_t row_step, const size_t unit_step, const void *weights, size_t units, \
        vector sum[][2]) {                                                                                   \
        const uint8_t *w = weights;                                                                          \
        /* One pointer for three rows: addresses then need few registers. */                                 \
        const uint8_t *base[4];                                                                              \
        for (int b = 0; 3 * b < rows; b++) { base[b] = (const uint8_t *)rows_at + (size_t)(3 * b) * row_step; } \
        /* Unrolled, the compiler loads the broadcasts of several steps ahead and spills them: 1.6 times the time. */ \
        _Pragma("clang loop unroll(disable)")                                                                \
        for (size_t u = 0; u < units; u++, w += 2 * sizeof(vector)) {                                        \
            vector w0, w1;                                                                                   \
            memcpy(&w0, w, sizeof w0);                                                                       \
            memcpy(&w1, w + sizeof w0, sizeof w1);                                                           \
            if (rows_ahead) { __builtin_prefetch(base[0] + (u + (rows_ahead)) * unit_step); }                \
            if (weights_ahead) {                                                                             \
                __builtin_prefetch(w + (weights_ahead) * 2 * sizeof(vector));                                \
                __builtin_prefetch(w + (weights_ahead) * 2 * sizeof(vector) + sizeof(vector));               \
            }                                                                                                \
            _Pragma("clang loop unroll(full)")                                                               \
            for (int r = 0; r < rows; r++) {                                                                 \
                int32_t unit;                                                                                \
                memcpy(&unit, base[r / 3] + (size_t)(r % 3) * row_step + u * unit_step, sizeof unit);        \
                vector x = (vector){0} + unit;                                                               \
                sum[r][0] = dot(sum[r][0], x, w0);                                                           \
                sum[r][1] = dot(sum[r][1], x, w1);                                                           \
            }                                                                                                \
        }                                                                                                    \
    }

/// Two products of int16 each, exact.
CK_TARGET_AVX2 CK_INLINE ck_i8x ck_dot_s16(ck_i8x sum, ck_i8x x, ck_i8x w) {
    return sum + (ck_i8x)_mm256_madd_epi16((__m256i)x, (__m256i)w);
}
CK_TARGET_AVX2 CK_INLINE ck_i8x ck_dot_f32_avx2(ck_i8x sum, ck_i8x x, ck_i8x w) {
    return (ck_i8x)_mm256_fmadd_ps((__m256)x, (__m256)w, (__m256)sum);
}

// The plain forms are for builds that emulate (`make test-avx512`).
#ifdef CK_EMULATE_AVX512
CK_INLINE ck_i16x ck_dot_s8(ck_i16x sum, ck_i16x x, ck_i16x w) {
    uint8_t a[64];
    int8_t b[64];
    memcpy(a, &x, 64);
    memcpy(b, &w, 64);
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 4; j++) { sum[i] += a[4 * i + j] * b[4 * i + j]; }
    }
    return sum;
}
CK_INLINE ck_i16x ck_dot_bf16(ck_i16x sum, ck_i16x x, ck_i16x w) {
    for (int i = 0; i < 16; i++) {
        for (int j = 1; j >= 0; j--) {
            uint32_t bits[3] = {(uint32_t)x[i] >> 16 * j << 16, (uint32_t)w[i] >> 16 * j << 16, (uint32_t)sum[i]};
            float f[3];
            memcpy(f, bits, sizeof f);
            f[2] = __builtin_fmaf(f[0], f[1], f[2]);
            memcpy(bits, f, sizeof f);
            sum[i] = (int32_t)bits[2];
        }
    }
    return sum;
}
#else
/// Four products of uint8 and int8, exact.
CK_INLINE_AVX512 ck_i16x ck_dot_s8(ck_i16x sum, ck_i16x x, ck_i16x w) {
    return (ck_i16x)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
}
CK_TARGET_AVX512_BF16 CK_INLINE ck_i16x ck_dot_bf16(ck_i16x sum, ck_i16x x, ck_i16x w) {
    return (ck_i16x)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}
#endif
CK_INLINE_AVX512 ck_i16x ck_dot_f32(ck_i16x sum, ck_i16x x, ck_i16x w) {
    return (ck_i16x)ck_fma16((ck_f16x)x, (ck_f16x)w, (ck_f16x)sum);
}
#endif

#endif
