// Cross-attention with AVX-512: both products through the float32 tile of the packed products.
#include "cross_attention.h"

#if CK_X86
#include "../shared/transpose16.h"

#include <math.h>

// Rows `count` of x, columns [0, d), as columns of `to` [d][lanes]; lanes past the rows are zero.
CK_TARGET_AVX512 static void gather(const float *x, size_t ldx, size_t count, size_t d, float *to) {
    for (size_t lane = 0; lane < ck_query_lanes; lane += 16) {
        for (size_t i = 0; i < d; i += 16) {
            ck_f16x rows[16];
            for (size_t r = 0; r < 16; r++) {
                ck_f16x zero = {0};
                rows[r] = lane + r < count ? ck_load16_part(x + (lane + r) * ldx + i, d - i) : zero;
            }
            ck_transpose16(rows);
            for (size_t r = 0; r < 16 && i + r < d; r++) { ck_store16(to + (i + r) * ck_query_lanes + lane, rows[r]); }
        }
    }
}

// The inverse of `gather`.
CK_TARGET_AVX512 static void scatter(const float *from, size_t count, size_t d, float *y, size_t ldy) {
    for (size_t lane = 0; lane < count; lane += 16) {
        for (size_t i = 0; i < d; i += 16) {
            ck_f16x rows[16];
            for (size_t r = 0; r < 16; r++) {
                ck_f16x zero = {0};
                rows[r] = i + r < d ? ck_load16(from + (i + r) * ck_query_lanes + lane) : zero;
            }
            ck_transpose16(rows);
            for (size_t r = 0; r < 16 && lane + r < count; r++) { ck_store16_part(y + (lane + r) * ldy + i, rows[r], d - i); }
        }
    }
}

// Scores of all tokens, and the largest of each lane.
CK_TARGET_AVX512 static void score(const ck_cross_head *h, ck_f16x top[2]) {
    top[0] = top[1] = ck_splat16(-INFINITY);
    for (size_t t = 0; t < h->tokens; t += ck_tile_rows) {
        ck_i16x sums[ck_tile_rows][2] = {0};
        ck_packed_tile_f32_avx512(h->keys + t * h->d, h->queries, h->d, h->tokens - t, sums);
        for (size_t r = 0; r < ck_least(ck_tile_rows, h->tokens - t); r++) {
            for (size_t half = 0; half < 2; half++) {
                ck_f16x s = (ck_f16x)sums[r][half];
                ck_store16(h->scores + (t + r) * ck_query_lanes + 16 * half, s);
                top[half] = __builtin_elementwise_max(top[half], s);
            }
        }
    }
}

// Scores to exponentials, and one over their sums: over a tile of tokens first, then over the tiles, so that the chains are short.
CK_TARGET_AVX512 static void exponentials(const ck_cross_head *h, const ck_f16x top[2], ck_f16x inverse[2]) {
    ck_f16x sum[2] = {0}, scale = ck_splat16(h->scale);
    for (size_t t = 0; t < h->tokens; t += ck_tile_rows) {
        ck_f16x part[2] = {0};
        for (size_t r = 0; r < ck_least(ck_tile_rows, h->tokens - t); r++) {
            for (size_t half = 0; half < 2; half++) {
                float *at = h->scores + (t + r) * ck_query_lanes + 16 * half;
                ck_f16x e = ck_exp16((ck_load16(at) - top[half]) * scale);
                ck_store16(at, e);
                part[half] += e;
            }
        }
        sum[0] += part[0];
        sum[1] += part[1];
    }
    inverse[0] = ck_splat16(1.0f) / sum[0];
    inverse[1] = ck_splat16(1.0f) / sum[1];
}

CK_TARGET_AVX512 void ck_cross_head_avx512(const ck_cross_head *h) {
    for (size_t row = 0; row < h->m; row += ck_query_lanes) {
        size_t count = ck_least(ck_query_lanes, h->m - row);
        ck_f16x top[2], inverse[2];
        gather(h->q + row * h->ldq, h->ldq, count, h->d, h->queries);
        score(h, top);
        exponentials(h, top, inverse);
        // The queries have done their part: the outputs take their place.
        for (size_t i = 0; i < h->d; i += ck_tile_rows) {
            ck_i16x sums[ck_tile_rows][2] = {0};
            ck_packed_tile_f32_avx512(h->values + i * h->tokens, h->scores, h->tokens, h->d - i, sums);
            for (size_t r = 0; r < ck_least(ck_tile_rows, h->d - i); r++) {
                ck_store16(h->queries + (i + r) * ck_query_lanes, (ck_f16x)sums[r][0] * inverse[0]);
                ck_store16(h->queries + (i + r) * ck_query_lanes + 16, (ck_f16x)sums[r][1] * inverse[1]);
            }
        }
        scatter(h->queries, count, h->d, h->out + row * h->ldo, h->ldo);
    }
}
#endif
