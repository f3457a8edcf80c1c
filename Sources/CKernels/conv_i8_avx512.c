// The int8 tile of dense convolutions with AVX-512 VNNI: 12 pixels x 32 channels in 24 accumulators.
//
// vpdpbusd multiplies unsigned by signed bytes. Pixels hold q + 128, and the weights of a tap begin with the
// corrections -128 * (sum of a channel's weights) of its panel, from which the accumulators start.
#include "avx512.h"

#if CK_X86
#include "conv_tiles.h"

#include <string.h>

#define CK_TARGET CK_TARGET_AVX512
#define TILE 12

enum { panel = 32 };

CK_TARGET CK_INLINE void tile(const int pixels, const bool spreads, const ck_conv_tile *t) {
    __m512i sum[TILE][2];
    __m512i c0 = _mm512_loadu_si512((const void *)t->weights), c1 = _mm512_loadu_si512((const void *)(t->weights + 64));
    for (int r = 0; r < pixels; r++) { sum[r][0] = c0, sum[r][1] = c1; }
    const uint8_t *w = t->weights + panel * 4;
    const uint8_t *base[(TILE + 2) / 3];
    for (int b = 0; 3 * b < pixels; b++) { base[b] = t->pixels + (size_t)(3 * b) * t->stride; }
    size_t stride = t->stride, quads = (t->depth + 3) / 4;
    // Unrolled, the compiler loads the broadcasts of several steps ahead and spills them: a full tile took 1.6 times as long.
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < quads; k++) {
        __m512i w0 = _mm512_loadu_si512((const void *)(w + k * 4 * panel));
        __m512i w1 = _mm512_loadu_si512((const void *)(w + k * 4 * panel + 64));
        for (int r = 0; r < pixels; r++) {
            int32_t quad;
            memcpy(&quad, base[r / 3] + (size_t)(r % 3) * stride + 4 * k, 4);
            __m512i x = _mm512_set1_epi32(quad);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], x, w0);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], x, w1);
        }
    }
    if (spreads) {
        // Through memory: loops over places that are known at run time only must not index the accumulators.
        _Alignas(64) float sums[TILE][panel];
        for (int r = 0; r < pixels; r++) {
            _mm512_storeu_ps(sums[r], _mm512_cvtepi32_ps(sum[r][0]));
            _mm512_storeu_ps(sums[r] + 16, _mm512_cvtepi32_ps(sum[r][1]));
        }
        for (int r = 0; r < pixels; r++) {
            __m512 s = _mm512_set1_ps(t->scales[(size_t)r * t->scale_stride]);
            __m512 f0 = _mm512_loadu_ps(sums[r]), f1 = _mm512_loadu_ps(sums[r] + 16);
            CK_CONV_SPREAD(t, r, panel, {
                _mm512_storeu_ps(at, _mm512_fmadd_ps(s, f0, _mm512_loadu_ps(at)));
                _mm512_storeu_ps(at + 16, _mm512_fmadd_ps(s, f1, _mm512_loadu_ps(at + 16)));
            })
        }
        return;
    }
    for (int r = 0; r < pixels; r++) {
        __m512 s = _mm512_set1_ps(t->scales[(size_t)r * t->scale_stride]);
        float *at = t->to[0] + r * panel;
        _mm512_storeu_ps(at, _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(sum[r][0]), _mm512_loadu_ps(at)));
        _mm512_storeu_ps(at + 16, _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(sum[r][1]), _mm512_loadu_ps(at + 16)));
    }
}

#define ADD_NAME ck_conv_i8_add_avx512
#define SPREAD_NAME ck_conv_i8_spread_avx512
#include "conv_tile_cases.h"
#endif
