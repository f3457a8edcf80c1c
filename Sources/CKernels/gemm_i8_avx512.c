// The int8 matrix product with AVX-512 VNNI.
//
// vpdpbusd multiplies unsigned by signed bytes and adds four exact products into 32 bits. The activations enter as
// q + 128, and each channel starts from its correction -128 * (sum of its weights), which the packed panel carries.
// A tile is 12 rows x 32 channels: 24 accumulators, two weight vectors and a broadcast in 32 registers.
#include "avx512.h"
#include "gemm_i8.h"

#if CK_X86
#include <string.h>

enum {
    panel = ck_avx512_panel,
    tile_rows = 12,
    rows_max = 96,
    depth_max = 1024,               // a multiple of 4
    activation_ld = depth_max + 64  // keeps the rows of a tile out of each other's cache sets
};

typedef struct {
    uint8_t activations[rows_max][activation_ld];  // q + 128
} blocks;

size_t ck_gemm_i8_panel_bytes_avx512(size_t k) { return panel * 4 + (k + 3) / 4 * 4 * panel; }

void ck_gemm_i8_pack_avx512(const int8_t *w, size_t n, size_t k, uint8_t *packed) {
    size_t bytes = ck_gemm_i8_panel_bytes_avx512(k), whole = k / 4 * 4;
    for (size_t c0 = 0; c0 < n; c0 += panel, packed += bytes) {
        size_t channels = n - c0 < panel ? n - c0 : panel;
        int32_t corrections[panel] = {0};
        if (channels < panel || whole < k) { memset(packed, 0, bytes); }
        for (size_t c = 0; c < channels; c++) {
            const int8_t *from = w + (c0 + c) * k;
            uint8_t *to = packed + sizeof corrections + 4 * c;
            for (size_t i = 0; i < whole; i += 4) { memcpy(to + i * panel, from + i, 4); }
            if (whole < k) { memcpy(to + whole * panel, from + whole, k - whole); }
            for (size_t i = 0; i < k; i++) { corrections[c] -= 128 * (int32_t)from[i]; }
        }
        memcpy(packed, corrections, sizeof corrections);
    }
}

CK_TARGET_AVX512 static void offset_activations(const int8_t *q, size_t k, size_t rows, size_t depth, blocks *b) {
    for (size_t r = 0; r < rows; r++) {
        const int8_t *from = q + r * k;
        uint8_t *to = b->activations[r];
        for (size_t i = 0; i < depth; i++) { to[i] = (uint8_t)from[i] ^ 0x80; }
        for (size_t i = depth; i < (depth + 3) / 4 * 4; i++) { to[i] = 0; }  // meets weights that are zero
    }
}

// Adds `quads` of k to a tile of s32 [rows, 32] at `out` (row distance in bytes), or starts it from the corrections.
CK_TARGET_AVX512 CK_INLINE void tile(
    const int rows, const uint8_t *a, const uint8_t *w, size_t quads, const uint8_t *corrections, uint8_t *out, size_t stride) {
    __m512i sum[tile_rows][2];
    for (int r = 0; r < rows; r++) {
        const uint8_t *from = corrections ? corrections : out + (size_t)r * stride;
        sum[r][0] = _mm512_loadu_si512((const void *)from);
        sum[r][1] = _mm512_loadu_si512((const void *)(from + 64));
    }
    for (size_t p = 0; p < quads; p++) {
        __m512i w0 = _mm512_loadu_si512((const void *)(w + p * 128));
        __m512i w1 = _mm512_loadu_si512((const void *)(w + p * 128 + 64));
        for (int r = 0; r < rows; r++) {
            int32_t quad;
            memcpy(&quad, a + (size_t)r * activation_ld + 4 * p, 4);
            __m512i x = _mm512_set1_epi32(quad);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], x, w0);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], x, w1);
        }
    }
    for (int r = 0; r < rows; r++) {
        _mm512_storeu_si512((void *)(out + (size_t)r * stride), sum[r][0]);
        _mm512_storeu_si512((void *)(out + (size_t)r * stride + 64), sum[r][1]);
    }
}

CK_TARGET_AVX512 static void tiles(
    const blocks *b, size_t rows, const uint8_t *w, size_t quads, const uint8_t *corrections, uint8_t *out, size_t stride) {
    size_t r = 0;
    for (; r + 12 <= rows; r += 12) { tile(12, b->activations[r], w, quads, corrections, out + r * stride, stride); }
    for (; r + 6 <= rows; r += 6) { tile(6, b->activations[r], w, quads, corrections, out + r * stride, stride); }
    for (; r + 3 <= rows; r += 3) { tile(3, b->activations[r], w, quads, corrections, out + r * stride, stride); }
    for (; r < rows; r++) { tile(1, b->activations[r], w, quads, corrections, out + r * stride, stride); }
}

// Turns finished sums [rows, 32] into floats in place; scales and biases of channels past the end are zero.
CK_TARGET_AVX512 static void
finish(const ck_gemm_i8 *g, size_t row, size_t rows, size_t c0, size_t channels, uint8_t *out, size_t stride) {
    const ck_epilogue *e = g->epilogue;
    float scale[panel] = {0}, bias[panel] = {0};
    memcpy(scale, e->sw + c0, channels * sizeof(float));
    if (e->bias) { memcpy(bias, e->bias + c0, channels * sizeof(float)); }
    for (size_t r = 0; r < rows; r++) {
        __m512 sx = _mm512_set1_ps(e->sx[row + r]);
        for (size_t half = 0; half < panel; half += 16) {
            uint8_t *at = out + r * stride + half * 4;
            __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512((const void *)at));
            __m512 s = _mm512_mul_ps(sx, _mm512_loadu_ps(scale + half));
            _mm512_storeu_ps((float *)(void *)at, _mm512_fmadd_ps(s, sum, _mm512_loadu_ps(bias + half)));
        }
    }
}

// One panel of channels against the rows of the block. A panel that the matrix cuts off is worked on in a copy.
CK_TARGET_AVX512 static void
panel_block(const ck_gemm_i8 *g, const blocks *b, size_t row, size_t rows, size_t c0, size_t at, size_t depth) {
    const uint8_t *packed = g->packed + c0 / panel * ck_gemm_i8_panel_bytes_avx512(g->k);
    const uint8_t *corrections = at == 0 ? packed : NULL, *w = packed + panel * 4 + at * panel;
    bool finishes = g->epilogue && at + depth == g->k;
    size_t quads = (depth + 3) / 4, channels = g->n1 - c0 < panel ? g->n1 - c0 : panel, stride = g->ldo * 4;
    uint8_t *out = g->out + (row * g->ldo + c0) * 4;
    if (channels == panel) {
        tiles(b, rows, w, quads, corrections, out, stride);
        if (finishes) { finish(g, row, rows, c0, channels, out, stride); }
        return;
    }
    uint8_t copy[rows_max][panel * 4];
    for (size_t r = 0; r < rows && !corrections; r++) { memcpy(copy[r], out + r * stride, channels * 4); }
    tiles(b, rows, w, quads, corrections, copy[0], sizeof copy[0]);
    if (finishes) { finish(g, row, rows, c0, channels, copy[0], sizeof copy[0]); }
    for (size_t r = 0; r < rows; r++) { memcpy(out + r * stride, copy[r], channels * 4); }
}

void ck_gemm_i8_avx512(const ck_gemm_i8 *g) {
    blocks b;
    for (size_t row = 0; row < g->m; row += rows_max) {
        size_t rows = g->m - row < rows_max ? g->m - row : rows_max;
        for (size_t at = 0; at < g->k; at += depth_max) {
            size_t depth = g->k - at < depth_max ? g->k - at : depth_max;
            offset_activations(g->q + row * g->k + at, g->k, rows, depth, &b);
            for (size_t c0 = g->n0; c0 < g->n1; c0 += panel) { panel_block(g, &b, row, rows, c0, at, depth); }
        }
    }
}
#endif
