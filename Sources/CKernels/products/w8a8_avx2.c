// The int8 matrix product with AVX2.
//
// Both operands are widened to 16 bit and multiplied by vpmaddwd, which adds two exact products into 32 bits. The other
// known way, vpmaddubsw on absolute values with moved signs, costs the same number of vector instructions per product
// (sign, multiply, widen, add against twice multiply, add) and measures the same, but twice the care.
//
// Blocks: `rows_max` rows x `depth_max` of k of the activations are widened once and serve all panels; a panel's weights
// are widened once per block and serve all its row tiles. A tile is 6 rows x 16 channels: 12 accumulators, two weight
// vectors, one broadcast and one product fill the 16 registers.
#include "w8a8.h"

#if CK_X86
#include "../shared/tile.h"

enum {
    panel = ck_w8a8_panel_avx2,
    tile_rows = 6,
    rows_max = CK_W8A8_ROWS,
    depth_max = 512,                // even
    activation_ld = depth_max + 32  // keeps the rows of a tile out of each other's cache sets
};

typedef struct {
    int16_t activations[rows_max][activation_ld];
    int16_t weights[depth_max / 2][panel][2];  // per pair of k: 16 channels x 2
} blocks;

size_t ck_w8a8_panel_bytes_avx2(size_t k) { return (k + 1) / 2 * 2 * panel; }

void ck_w8a8_pack_avx2(const int8_t *w, size_t n, size_t k, uint8_t *packed) {
    size_t bytes = ck_w8a8_panel_bytes_avx2(k);
    for (size_t c0 = 0; c0 < n; c0 += panel, packed += bytes) {
        size_t channels = n - c0 < panel ? n - c0 : panel;
        if (channels < panel || k % 2 != 0) { memset(packed, 0, bytes); }
        for (size_t c = 0; c < channels; c++) {
            const int8_t *from = w + (c0 + c) * k;
            uint8_t *to = packed + 2 * c;
            for (size_t i = 0; i + 2 <= k; i += 2) { memcpy(to + i * panel, from + i, 2); }
            if (k % 2 != 0) { to[(k - 1) * panel] = (uint8_t)from[k - 1]; }
        }
    }
}

CK_TARGET_AVX2 static void widen_activations(const int8_t *q, size_t k, size_t rows, size_t depth, blocks *b) {
    for (size_t r = 0; r < rows; r++) {
        const int8_t *from = q + r * k;
        int16_t *to = b->activations[r];
        size_t i = 0;
        for (; i + 16 <= depth; i += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
            _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_cvtepi8_epi16(v));
        }
        for (; i < depth; i++) { to[i] = from[i]; }
        to[depth] = 0;  // partner of a last odd element; meets a weight that is zero
    }
}

CK_TARGET_AVX2 static void widen_weights(const uint8_t *from, size_t pairs, blocks *b) {
    for (size_t p = 0; p < pairs; p++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(from + p * 2 * panel));
        __m256i *to = (__m256i *)(void *)b->weights[p];
        _mm256_storeu_si256(to, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v)));
        _mm256_storeu_si256(to + 1, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(v, 1)));
    }
}

CK_TILE(add_pairs, CK_TARGET_AVX2, ck_i8x, ck_dot_s16, 0, 0)

// Adds `pairs` of k to a tile of s32 [rows, 16] at `out` (row distance in bytes), or starts it.
CK_TARGET_AVX2 CK_INLINE void tile(const int rows, const blocks *b, size_t row, size_t pairs, bool start, uint8_t *out, size_t stride) {
    ck_i8x sum[tile_rows][2];
    memset(sum, 0, sizeof sum);
    for (int r = 0; r < rows && !start; r++) { memcpy(sum[r], out + (size_t)r * stride, sizeof sum[r]); }
    add_pairs(rows, b->activations[row], activation_ld * sizeof(int16_t), 2 * sizeof(int16_t), b->weights, pairs, sum);
    for (int r = 0; r < rows; r++) { memcpy(out + (size_t)r * stride, sum[r], sizeof sum[r]); }
}

CK_TARGET_AVX2 static void tiles(const blocks *b, size_t rows, size_t pairs, bool start, uint8_t *out, size_t stride) {
    size_t r = 0;
    for (; r + tile_rows <= rows; r += tile_rows) { tile(tile_rows, b, r, pairs, start, out + r * stride, stride); }
    switch (rows - r) {
        case 5: tile(5, b, r, pairs, start, out + r * stride, stride); break;
        case 4: tile(4, b, r, pairs, start, out + r * stride, stride); break;
        case 3: tile(3, b, r, pairs, start, out + r * stride, stride); break;
        case 2: tile(2, b, r, pairs, start, out + r * stride, stride); break;
        case 1: tile(1, b, r, pairs, start, out + r * stride, stride); break;
        default: break;
    }
}

// Turns finished sums [rows, 16] into floats in place; scales and biases of channels past the end are zero.
CK_TARGET_AVX2 static void finish(const ck_w8a8 *g, size_t row, size_t rows, size_t c0, size_t channels, uint8_t *out, size_t stride) {
    const float *sx = g->sx;
    float scale[panel] = {0}, bias[panel] = {0};
    memcpy(scale, (const float *)g->sw + c0, channels * sizeof(float));
    if (g->bias) { memcpy(bias, (const float *)g->bias + c0, channels * sizeof(float)); }
    for (size_t r = 0; r < rows; r++) {
        __m256 x = _mm256_set1_ps(sx[row + r]);
        for (size_t half = 0; half < panel; half += 8) {
            uint8_t *at = out + r * stride + half * 4;
            __m256 sum = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
            __m256 s = _mm256_mul_ps(x, _mm256_loadu_ps(scale + half));
            _mm256_storeu_ps((float *)(void *)at, _mm256_fmadd_ps(s, sum, _mm256_loadu_ps(bias + half)));
        }
    }
}

// One panel of channels against the rows of the block. A panel that the matrix cuts off is worked on in a copy.
CK_TARGET_AVX2 static void
panel_block(const ck_w8a8 *g, const blocks *b, size_t row, size_t rows, size_t c0, size_t pairs, bool start, bool end) {
    size_t channels = ck_least(panel, g->n - c0), stride = g->ldy * 4;
    uint8_t *out = (uint8_t *)g->y + (row * g->ldy + c0) * 4;
    if (channels == panel) {
        tiles(b, rows, pairs, start, out, stride);
        if (end) { finish(g, row, rows, c0, channels, out, stride); }
        return;
    }
    uint8_t copy[rows_max][panel * 4];
    for (size_t r = 0; r < rows && !start; r++) { memcpy(copy[r], out + r * stride, channels * 4); }
    tiles(b, rows, pairs, start, copy[0], sizeof copy[0]);
    if (end) { finish(g, row, rows, c0, channels, copy[0], sizeof copy[0]); }
    for (size_t r = 0; r < rows; r++) { memcpy(out + r * stride, copy[r], channels * 4); }
}

void ck_w8a8_avx2(const ck_w8a8 *g) {
    blocks b;
    size_t panel_bytes = ck_w8a8_panel_bytes_avx2(g->k);
    for (size_t row = 0; row < g->m; row += rows_max) {
        size_t rows = ck_least(rows_max, g->m - row), at = 0;
        do {
            size_t depth = ck_least(depth_max, g->k - at), pairs = (depth + 1) / 2;
            widen_activations((const int8_t *)g->q + row * g->k + at, g->k, rows, depth, &b);
            for (size_t c0 = 0; c0 < g->n; c0 += panel) {
                widen_weights((const uint8_t *)g->packed + c0 / panel * panel_bytes + at * panel, pairs, &b);
                panel_block(g, &b, row, rows, c0, pairs, at == 0, at + depth == g->k);
            }
            at += depth;
        } while (at < g->k);
    }
}
#endif
