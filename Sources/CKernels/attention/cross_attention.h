// Cross-attention: what its instruction sets share.
#ifndef CKERNELS_CROSS_ATTENTION_H
#define CKERNELS_CROSS_ATTENTION_H

#include "../products/packed.h"

/// Queries that are worked on at once: one lane each, so that the softmax runs down the lanes and nothing is summed across them.
enum { ck_query_lanes = ck_panel };

/// Attention of m queries to the packed keys and values of one head.
typedef struct {
    const float *q;       // [m, d] (ldq)
    size_t ldq;
    const float *keys;    // tiles of 12 tokens, [d][12]
    const float *values;  // tiles of 12 channels, [tokens][12]
    float *out;           // [m, d] (ldo)
    size_t ldo, m, tokens, d;
    float scale;
    float *queries;       // scratch, [d][lanes]
    float *scores;        // scratch, [tokens][lanes]
} ck_cross_head;

CK_INLINE size_t ck_cross_keys(size_t tokens, size_t d) { return ck_divided_up(tokens, ck_tile_rows) * ck_tile_rows * d; }

#if CK_X86
void ck_cross_head_avx512(const ck_cross_head *h);
#endif

#endif
