// Two kernels of dense convolutions, `ADD_NAME` and `SPREAD_NAME` (ck_conv_kernel in tiles.h), for every count of pixels of a tile.
// The including file names:
//   CK_TARGET    the function attribute        ADD       made by CK_TILE
//   I, F, LANES  vectors of its lanes          TILE      most pixels of a tile, 6 or 12
//   PER_UNIT     channels of a unit            SCALED    whether sums are integers, multiplied with the scale of their pixel
//   CORRECTED    whether the weights of a tap begin with the integers that sums start from
#define FUNCTION(name) CK_JOIN(name, ADD_NAME)

CK_TARGET CK_INLINE F FUNCTION(floats_)(I sum) {
    F value;
    if (SCALED) { return __builtin_convertvector(sum, F); }
    memcpy(&value, &sum, sizeof value);
    return value;
}

// The scale of a pixel, if sums are scaled.
CK_TARGET CK_INLINE F FUNCTION(scale_)(const ck_conv_tile *t, int pixel) {
    int32_t bits = 0;
    if (SCALED) { memcpy(&bits, t->scales + (size_t)pixel * t->scale_stride, sizeof bits); }
    I each = (I){0} + bits;
    F scale;
    memcpy(&scale, &each, sizeof scale);
    return scale;
}

// Adds a vector of sums to the accumulators at `at`: in float32, chains of at most one run of fused multiply-adds, so that errors stay small.
CK_TARGET CK_INLINE void FUNCTION(put_)(float *at, F sum, F scale) {
    F to;
    memcpy(&to, at, sizeof to);
    to = SCALED ? __builtin_elementwise_fma(scale, sum, to) : to + sum;
    memcpy(at, &to, sizeof to);
}

CK_TARGET CK_INLINE void FUNCTION(tile_)(const int pixels, const bool spreads, const ck_conv_tile *t) {
    enum { panel = 2 * LANES };
    const uint8_t *weights = t->weights;
    I sum[TILE][2], start[2] = {{0}};
    if (CORRECTED) {
        memcpy(start, weights, sizeof start);
        weights += sizeof start;
    }
    for (int r = 0; r < pixels; r++) { sum[r][0] = start[0], sum[r][1] = start[1]; }
    ADD(pixels, t->pixels, t->stride, 4, weights, (t->depth + PER_UNIT - 1) / PER_UNIT, sum);
    if (spreads) {
        // Through memory: loops over places that are known at run time only must not index the accumulators.
        F sums[TILE][2];
        for (int r = 0; r < pixels; r++) { sums[r][0] = FUNCTION(floats_)(sum[r][0]), sums[r][1] = FUNCTION(floats_)(sum[r][1]); }
        for (int r = 0; r < pixels; r++) {
            F scale = FUNCTION(scale_)(t, r);
            CK_CONV_SPREAD(t, r, panel, {
                FUNCTION(put_)(at, sums[r][0], scale);
                FUNCTION(put_)(at + LANES, sums[r][1], scale);
            })
        }
        return;
    }
    for (int r = 0; r < pixels; r++) {
        F scale = FUNCTION(scale_)(t, r);
        float *at = t->to[0] + r * panel;
        FUNCTION(put_)(at, FUNCTION(floats_)(sum[r][0]), scale);
        FUNCTION(put_)(at + LANES, FUNCTION(floats_)(sum[r][1]), scale);
    }
}

#define CASE(n, spreads) case n: FUNCTION(tile_)(n, spreads, t); break;
#define SIX(spreads) CASE(1, spreads) CASE(2, spreads) CASE(3, spreads) CASE(4, spreads) CASE(5, spreads) CASE(6, spreads)
#if TILE == 12
#define CASES(spreads) SIX(spreads) CASE(7, spreads) CASE(8, spreads) CASE(9, spreads) CASE(10, spreads) CASE(11, spreads) CASE(12, spreads)
#else
#define CASES(spreads) SIX(spreads)
#endif

CK_TARGET void ADD_NAME(size_t pixels, const ck_conv_tile *t) {
    switch (pixels) {
        CASES(false)
        default: break;
    }
}

CK_TARGET void SPREAD_NAME(size_t pixels, const ck_conv_tile *t) {
    switch (pixels) {
        CASES(true)
        default: break;
    }
}

#undef FUNCTION
#undef CASE
#undef SIX
#undef CASES
#undef ADD_NAME
#undef SPREAD_NAME
#undef ADD
#undef PER_UNIT
#undef SCALED
#undef CORRECTED
