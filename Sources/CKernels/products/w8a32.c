// y = x W^T for few rows of float x and int8 weights as a checkpoint has them, row by row: no copy of the weights is made.
//
// A prompt behind a cached instruction has some twenty rows. Then a weight is read from memory once and used some twenty times: widening
// it in memory first, as a general product would, costs as much as the product. Lanes run along k; each tile of rows and
// channels keeps its sums in registers. Paths add in different orders: each is judged against double.
#include "../shared/internal.h"

typedef struct {
    const float *x;
    size_t ldx;
    const int8_t *w;  // [n, k]
    const float *s;   // [n]
    const float *bias;
    float *y;
    size_t ldy, n, k;
} product;

static void rows_plain(const product *p, size_t m) {
    for (size_t r = 0; r < m; r++) {
        for (size_t c = 0; c < p->n; c++) {
            const float *x = p->x + r * p->ldx;
            const int8_t *w = p->w + c * p->k;
            float sums[16] = {0};
            size_t i = 0;
            for (; i + 16 <= p->k; i += 16) {
                for (size_t lane = 0; lane < 16; lane++) { sums[lane] += x[i + lane] * (float)w[i + lane]; }
            }
            for (size_t lane = 0; i < p->k; i++, lane++) { sums[lane] += x[i] * (float)w[i]; }
            float sum = 0;
            for (size_t lane = 0; lane < 16; lane++) { sum += sums[lane]; }
            p->y[r * p->ldy + c] = sum * p->s[c] + (p->bias ? p->bias[c] : 0);
        }
    }
}

#if CK_X86
#include <immintrin.h>

#define CK_UNROLL _Pragma("clang loop unroll(full)")

// Bodies are compiled for each size of tile that occurs: R rows by C channels.
#define TILE(name, R, C) name(p, row, channel, R, C)
#define ROWS(name, C)                                                   \
    do {                                                                \
        size_t row = 0;                                                 \
        for (; row + 4 <= m; row += 4) { TILE(name, 4, C); }            \
        if (m - row == 3) { TILE(name, 3, C); }                         \
        else if (m - row == 2) { TILE(name, 2, C); }                    \
        else if (m - row == 1) { TILE(name, 1, C); }                    \
    } while (0)

CK_INLINE void store(const product *p, size_t row, size_t channel, float sum) {
    p->y[row * p->ldy + channel] = sum * p->s[channel] + (p->bias ? p->bias[channel] : 0);
}

CK_TARGET_AVX2 CK_INLINE float sum8(__m256 v) {
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

CK_TARGET_AVX2 CK_INLINE void tile_avx2(const product *p, size_t row, size_t channel, const int R, const int C) {
    __m256 sums[4][2];
    CK_UNROLL
    for (int r = 0; r < R; r++) {
        CK_UNROLL
        for (int c = 0; c < C; c++) { sums[r][c] = _mm256_setzero_ps(); }
    }
    size_t i = 0;
    for (; i + 8 <= p->k; i += 8) {
        __m256 w[2];
        CK_UNROLL
        for (int c = 0; c < C; c++) {
            w[c] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p->w + (channel + c) * p->k + i))));
        }
        CK_UNROLL
        for (int r = 0; r < R; r++) {
            __m256 x = _mm256_loadu_ps(p->x + (row + r) * p->ldx + i);
            CK_UNROLL
            for (int c = 0; c < C; c++) { sums[r][c] = _mm256_fmadd_ps(x, w[c], sums[r][c]); }
        }
    }
    CK_UNROLL
    for (int r = 0; r < R; r++) {
        CK_UNROLL
        for (int c = 0; c < C; c++) {
            float sum = sum8(sums[r][c]);
            for (size_t j = i; j < p->k; j++) { sum += p->x[(row + r) * p->ldx + j] * (float)p->w[(channel + c) * p->k + j]; }
            store(p, row + r, channel + c, sum);
        }
    }
}

CK_TARGET_AVX2 static void rows_avx2(const product *p, size_t m) {
    size_t channel = 0;
    for (; channel + 2 <= p->n; channel += 2) { ROWS(tile_avx2, 2); }
    for (; channel < p->n; channel++) { ROWS(tile_avx2, 1); }
}

#define CK_TARGET_AVX512F __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))

CK_TARGET_AVX512F CK_INLINE void tile_avx512(const product *p, size_t row, size_t channel, const int R, const int C) {
    __m512 sums[4][CK_W8A32_CHANNELS];
    CK_UNROLL
    for (int r = 0; r < R; r++) {
        CK_UNROLL
        for (int c = 0; c < C; c++) { sums[r][c] = _mm512_setzero_ps(); }
    }
    size_t i = 0;
    for (; i + 16 <= p->k; i += 16) {
        __m512 x[4];
        CK_UNROLL
        for (int r = 0; r < R; r++) { x[r] = _mm512_loadu_ps(p->x + (row + r) * p->ldx + i); }
        CK_UNROLL
        for (int c = 0; c < C; c++) {
            __m512 w = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p->w + (channel + c) * p->k + i))));
            CK_UNROLL
            for (int r = 0; r < R; r++) { sums[r][c] = _mm512_fmadd_ps(x[r], w, sums[r][c]); }
        }
    }
    if (i < p->k) {
        __mmask16 mask = (__mmask16)((1u << (p->k - i)) - 1);
        __m512 x[4];
        CK_UNROLL
        for (int r = 0; r < R; r++) { x[r] = _mm512_maskz_loadu_ps(mask, p->x + (row + r) * p->ldx + i); }
        CK_UNROLL
        for (int c = 0; c < C; c++) {
            __m128i bytes = _mm_maskz_loadu_epi8(mask, p->w + (channel + c) * p->k + i);
            __m512 w = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
            CK_UNROLL
            for (int r = 0; r < R; r++) { sums[r][c] = _mm512_fmadd_ps(x[r], w, sums[r][c]); }
        }
    }
    CK_UNROLL
    for (int r = 0; r < R; r++) {
        CK_UNROLL
        for (int c = 0; c < C; c++) { store(p, row + r, channel + c, _mm512_reduce_add_ps(sums[r][c])); }
    }
}

CK_TARGET_AVX512F static void rows_avx512(const product *p, size_t m) {
    size_t channel = 0;
    for (; channel + CK_W8A32_CHANNELS <= p->n; channel += CK_W8A32_CHANNELS) { ROWS(tile_avx512, CK_W8A32_CHANNELS); }
    for (; channel < p->n; channel++) { ROWS(tile_avx512, 1); }
}
#endif

void ck_w8a32_linear(
    int isa, const void *x, size_t ldx, const void *w, const void *s, const void *bias, void *y, size_t ldy, size_t m, size_t n, size_t k) {
    product p = {x, ldx, w, s, bias, y, ldy, n, k};
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        rows_avx512(&p, m);
        return;
    }
    if (isa >= CK_ISA_AVX2) {
        rows_avx2(&p, m);
        return;
    }
#endif
    rows_plain(&p, m);
}
