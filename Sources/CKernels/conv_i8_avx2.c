// The int8 tile of dense convolutions with AVX2: 6 pixels x 16 channels in 12 accumulators.
//
// Pixels and packed weights are held in 16 bits, for vpmaddwd: it adds two exact products into 32 bits.
#include "internal.h"

#if CK_X86
#include "conv_tiles.h"

#include <immintrin.h>
#include <string.h>

#define CK_TARGET CK_TARGET_AVX2
#define TILE 6

enum { panel = 16 };

CK_TARGET CK_INLINE void tile(const int pixels, const bool spreads, const ck_conv_tile *t) {
    __m256i sum[TILE][2];
    for (int r = 0; r < pixels; r++) { sum[r][0] = sum[r][1] = _mm256_setzero_si256(); }
    const __m256i *w = (const __m256i *)(const void *)t->weights;
    size_t stride = t->stride, pairs = (t->depth + 1) / 2;
    for (size_t k = 0; k < pairs; k++) {
        __m256i w0 = _mm256_loadu_si256(w + 2 * k), w1 = _mm256_loadu_si256(w + 2 * k + 1);
        for (int r = 0; r < pixels; r++) {
            int32_t pair;
            memcpy(&pair, t->pixels + (size_t)r * stride + 4 * k, 4);
            __m256i x = _mm256_set1_epi32(pair);
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(x, w0));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(x, w1));
        }
    }
    if (spreads) {
        // Through memory: loops over places that are known at run time only must not index the accumulators.
        _Alignas(64) float sums[TILE][panel];
        for (int r = 0; r < pixels; r++) {
            _mm256_storeu_ps(sums[r], _mm256_cvtepi32_ps(sum[r][0]));
            _mm256_storeu_ps(sums[r] + 8, _mm256_cvtepi32_ps(sum[r][1]));
        }
        for (int r = 0; r < pixels; r++) {
            __m256 s = _mm256_set1_ps(t->scales[(size_t)r * t->scale_stride]);
            __m256 f0 = _mm256_loadu_ps(sums[r]), f1 = _mm256_loadu_ps(sums[r] + 8);
            CK_CONV_SPREAD(t, r, panel, {
                _mm256_storeu_ps(at, _mm256_fmadd_ps(s, f0, _mm256_loadu_ps(at)));
                _mm256_storeu_ps(at + 8, _mm256_fmadd_ps(s, f1, _mm256_loadu_ps(at + 8)));
            })
        }
        return;
    }
    for (int r = 0; r < pixels; r++) {
        __m256 s = _mm256_set1_ps(t->scales[(size_t)r * t->scale_stride]);
        float *at = t->to[0] + r * panel;
        _mm256_storeu_ps(at, _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(sum[r][0]), _mm256_loadu_ps(at)));
        _mm256_storeu_ps(at + 8, _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(sum[r][1]), _mm256_loadu_ps(at + 8)));
    }
}

#define ADD_NAME ck_conv_i8_add_avx2
#define SPREAD_NAME ck_conv_i8_spread_avx2
#include "conv_tile_cases.h"
#endif
