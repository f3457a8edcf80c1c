// Softmax attention to few tokens, packed once for many queries: packing, choice of the instruction set, and the plain version.
#include "cross_attention.h"

#include "../shared/kernel_math.h"

size_t ck_cross_attention_bytes(size_t tokens, size_t d, size_t heads) {
    return heads * (ck_cross_keys(tokens, d) + ck_cross_keys(d, tokens)) * sizeof(float);
}

size_t ck_cross_attention_scratch(size_t tokens, size_t d) { return ck_query_lanes * (tokens + d) * sizeof(float); }

void ck_pack_cross_attention(
    const void *k, size_t ldk, const void *v, size_t ldv, void *packed, size_t tokens, size_t d, size_t heads) {
    float *to = packed;
    memset(packed, 0, ck_cross_attention_bytes(tokens, d, heads));
    for (size_t h = 0; h < heads; h++) {
        const float *keys = (const float *)k + h * d, *values = (const float *)v + h * d;
        for (size_t t = 0; t < tokens; t++) {
            float *tile = to + t / ck_tile_rows * ck_tile_rows * d + t % ck_tile_rows;
            for (size_t i = 0; i < d; i++) { tile[i * ck_tile_rows] = keys[t * ldk + i]; }
        }
        to += ck_cross_keys(tokens, d);
        for (size_t t = 0; t < tokens; t++) {
            for (size_t i = 0; i < d; i++) {
                to[(i / ck_tile_rows * tokens + t) * ck_tile_rows + i % ck_tile_rows] = values[t * ldv + i];
            }
        }
        to += ck_cross_keys(d, tokens);
    }
}

// sums [12, lanes] = sum over k of a tile [k][12] times a panel [k][lanes].
CK_INLINE void product_body(const float *a, const float *w, size_t k, float sums[ck_tile_rows][ck_query_lanes]) {
    for (size_t r = 0; r < ck_tile_rows; r++) {
        float row[ck_query_lanes] = {0};
        for (size_t i = 0; i < k; i++) {
            for (size_t c = 0; c < ck_query_lanes; c++) { row[c] += a[i * ck_tile_rows + r] * w[i * ck_query_lanes + c]; }
        }
        memcpy(sums[r], row, sizeof row);
    }
}

CK_INLINE void softmax_body(const ck_cross_head *h, float inverse[ck_query_lanes]) {
    float top[ck_query_lanes];
    double sum[ck_query_lanes] = {0};
    for (size_t c = 0; c < ck_query_lanes; c++) { top[c] = -INFINITY; }
    for (size_t t = 0; t < h->tokens; t++) {
        const float *row = h->scores + t * ck_query_lanes;
        for (size_t c = 0; c < ck_query_lanes; c++) { top[c] = row[c] > top[c] ? row[c] : top[c]; }
    }
    for (size_t t = 0; t < h->tokens; t++) {
        float *row = h->scores + t * ck_query_lanes;
        for (size_t c = 0; c < ck_query_lanes; c++) {
            double e = ck_exp_double((double)h->scale * ((double)row[c] - (double)top[c]));
            row[c] = (float)e;
            sum[c] += e;
        }
    }
    for (size_t c = 0; c < ck_query_lanes; c++) { inverse[c] = (float)(1.0 / sum[c]); }
}

CK_INLINE void head_body(const ck_cross_head *h) {
    float sums[ck_tile_rows][ck_query_lanes], inverse[ck_query_lanes];
    for (size_t row = 0; row < h->m; row += ck_query_lanes) {
        size_t count = ck_least(ck_query_lanes, h->m - row);
        for (size_t i = 0; i < h->d; i++) {
            for (size_t c = 0; c < ck_query_lanes; c++) { h->queries[i * ck_query_lanes + c] = c < count ? h->q[(row + c) * h->ldq + i] : 0; }
        }
        for (size_t t = 0; t < h->tokens; t += ck_tile_rows) {
            product_body(h->keys + t * h->d, h->queries, h->d, sums);
            memcpy(h->scores + t * ck_query_lanes, sums, ck_least(ck_tile_rows, h->tokens - t) * sizeof sums[0]);
        }
        softmax_body(h, inverse);
        for (size_t i = 0; i < h->d; i += ck_tile_rows) {
            product_body(h->values + i * h->tokens, h->scores, h->tokens, sums);
            for (size_t r = 0; r < ck_least(ck_tile_rows, h->d - i); r++) {
                for (size_t c = 0; c < count; c++) { h->out[(row + c) * h->ldo + i + r] = sums[r][c] * inverse[c]; }
            }
        }
    }
}
CK_VARIANTS(head, (const ck_cross_head *h), (h))

void ck_cross_attention(int isa, ck_cross_heads a, void *scratch) {
    size_t keys = ck_cross_keys(a.tokens, a.d), values = ck_cross_keys(a.d, a.tokens);
    for (size_t i = a.h0; i < a.h1; i++) {
        const float *at = (const float *)a.packed + i * (keys + values);
        ck_cross_head h = {(const float *)a.q + i * a.d, a.ldq, at, at + keys, (float *)a.out + i * a.d, a.ldo, a.m, a.tokens, a.d, (float)a.scale,
                           scratch, (float *)scratch + ck_query_lanes * a.d};
        for (size_t r = 0; r < h.m && h.tokens == 0; r++) { memset(h.out + r * h.ldo, 0, h.d * sizeof(float)); }
        if (h.tokens == 0) { continue; }
#if CK_X86
        if (isa >= CK_ISA_AVX512) {
            ck_cross_head_avx512(&h);
            continue;
        }
#endif
        CK_CALL(isa, head, &h);
    }
}
