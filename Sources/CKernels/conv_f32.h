// The float32 tile of dense convolutions, for the vectors that the including file names:
//   CK_TARGET   the function attribute          V, LANES   the vector and its floats
//   TILE        most pixels of a tile           LOAD, STORE, SET1, ADD, FMA, ZERO
// A panel is two vectors. Chains of at most one run of fused multiply-adds are summed up, so that errors stay small.
#include "conv_tiles.h"

enum { panel = 2 * LANES };

CK_TARGET CK_INLINE void tile(const int pixels, const bool spreads, const ck_conv_tile *t) {
    V sum[TILE][2];
    for (int r = 0; r < pixels; r++) { sum[r][0] = sum[r][1] = ZERO(); }
    const float *w = (const float *)(const void *)t->weights;
    // One pointer for three pixels: addresses then need few registers.
    const uint8_t *base[(TILE + 2) / 3];
    for (int b = 0; 3 * b < pixels; b++) { base[b] = t->pixels + (size_t)(3 * b) * t->stride; }
    size_t stride = t->stride;
    // Unrolled, the compiler loads the broadcasts of several steps ahead and spills them: a full tile took 1.6 times as long.
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < t->depth; k++) {
        V w0 = LOAD(w + k * panel), w1 = LOAD(w + k * panel + LANES);
        for (int r = 0; r < pixels; r++) {
            V x = SET1(*(const float *)(const void *)(base[r / 3] + (size_t)(r % 3) * stride + 4 * k));
            sum[r][0] = FMA(x, w0, sum[r][0]);
            sum[r][1] = FMA(x, w1, sum[r][1]);
        }
    }
    if (spreads) {
        // Through memory: loops over places that are known at run time only must not index the accumulators.
        _Alignas(64) float sums[TILE][panel];
        for (int r = 0; r < pixels; r++) { STORE(sums[r], sum[r][0]), STORE(sums[r] + LANES, sum[r][1]); }
        for (int r = 0; r < pixels; r++) {
            V s0 = LOAD(sums[r]), s1 = LOAD(sums[r] + LANES);
            CK_CONV_SPREAD(t, r, panel, {
                STORE(at, ADD(LOAD(at), s0));
                STORE(at + LANES, ADD(LOAD(at + LANES), s1));
            })
        }
        return;
    }
    for (int r = 0; r < pixels; r++) {
        float *at = t->to[0] + r * panel;
        STORE(at, ADD(LOAD(at), sum[r][0]));
        STORE(at + LANES, ADD(LOAD(at + LANES), sum[r][1]));
    }
}
