// Products of matrices, whose rows and columns lie in the lanes' registers: lane 4g + t has of a row g what belongs to t.

// The 8 int32 of a row by eight columns, 32 deep: pairs of k after one another.
#ifdef STAND_IN_AVX2
#include <immintrin.h>
static inline void multiply_row(const s16 *a, const s16 (*columns)[16], s32 *sums) {
    __m256i sum = _mm256_loadu_si256((const __m256i *)sums);
    for (int k = 0; k < 16; k++) {
        s32 pair;
        memcpy(&pair, a + 2 * k, 4);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_set1_epi32(pair), _mm256_loadu_si256((const __m256i *)columns[k])));
    }
    _mm256_storeu_si256((__m256i *)sums, sum);
}
#else
static inline void multiply_row(const s16 *a, const s16 (*columns)[16], s32 *sums) {
    for (int k = 0; k < 16; k++)
        for (int n = 0; n < 8; n++) sums[n] = (s32)((u32)sums[n] + (u32)(a[2 * k] * columns[k][2 * n] + a[2 * k + 1] * columns[k][2 * n + 1]));
}
#endif

// m16n8k32 of int8, by way of int16.
static void multiply8(struct warp *w, const struct instruction *i, u32 lanes) {
    (void)lanes;
    s16 a[16][32], columns[16][16];
    s32 sums[16][8];
    for (int part = 0; part < 4; part++) {
        const s8 *bytes = (const s8 *)lanes4(w, i->from[part]);
        for (int row = 0; row < 8; row++)
            for (int k = 0; k < 16; k++) a[row + 8 * (part & 1)][16 * (part >> 1) + k] = bytes[16 * row + k];
    }
    for (int part = 0; part < 2; part++) {
        const s8 *bytes = (const s8 *)lanes4(w, i->from[4 + part]);
        for (int k = 0; k < 8; k++)
            for (int n = 0; n < 8; n++) columns[8 * part + k][2 * n] = bytes[16 * n + 2 * k], columns[8 * part + k][2 * n + 1] = bytes[16 * n + 2 * k + 1];
    }
    for (int half = 0; half < 2; half++) {
        const s32 *c0 = (const s32 *)lanes4(w, i->from[6 + 2 * half]), *c1 = (const s32 *)lanes4(w, i->from[7 + 2 * half]);
        for (int l = 0; l < LANES; l++) sums[8 * half + l / 4][l % 4 * 2] = c0[l], sums[8 * half + l / 4][l % 4 * 2 + 1] = c1[l];
    }
    for (int row = 0; row < 16; row++) multiply_row(a[row], columns, sums[row]);
    for (int half = 0; half < 2; half++) {
        s32 *d0 = (s32 *)lanes4(w, i->to[2 * half]), *d1 = (s32 *)lanes4(w, i->to[2 * half + 1]);
        for (int l = 0; l < LANES; l++) d0[l] = sums[8 * half + l / 4][l % 4 * 2], d1[l] = sums[8 * half + l / 4][l % 4 * 2 + 1];
    }
}

// m16n8k16 of 16-bit floats. Hardware rounds such sums in ways of its own; here the exact products are added in double and rounded once.
static inline void multiply16(struct warp *w, const struct instruction *i, u32 (*widen)(u16)) {
    double a[16][16], columns[16][8], sums[16][8];
    for (int part = 0; part < 4; part++) {
        const u16 *values = (const u16 *)lanes4(w, i->from[part]);
        for (int at = 0; at < 64; at++) a[at / 8 + 8 * (part & 1)][8 * (part >> 1) + at % 8] = float_of(widen(values[at]));
    }
    for (int part = 0; part < 2; part++) {
        const u16 *values = (const u16 *)lanes4(w, i->from[4 + part]);
        for (int at = 0; at < 64; at++) columns[8 * part + at % 8][at / 8] = float_of(widen(values[at]));
    }
    for (int half = 0; half < 2; half++) {
        const float *c0 = (const float *)lanes4(w, i->from[6 + 2 * half]), *c1 = (const float *)lanes4(w, i->from[7 + 2 * half]);
        for (int l = 0; l < LANES; l++) sums[8 * half + l / 4][l % 4 * 2] = c0[l], sums[8 * half + l / 4][l % 4 * 2 + 1] = c1[l];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++) sums[row][n] += a[row][k] * columns[k][n];
    for (int half = 0; half < 2; half++) {
        float *d0 = (float *)lanes4(w, i->to[2 * half]), *d1 = (float *)lanes4(w, i->to[2 * half + 1]);
        for (int l = 0; l < LANES; l++) d0[l] = canonical((float)sums[8 * half + l / 4][l % 4 * 2]), d1[l] = canonical((float)sums[8 * half + l / 4][l % 4 * 2 + 1]);
    }
}
static u32 widen_bf16(u16 v) { return (u32)v << 16; }
static u32 widen_f16(u16 v) { return float_of_half(v); }
static void multiply_bf16(struct warp *w, const struct instruction *i, u32 lanes) { (void)lanes; multiply16(w, i, widen_bf16); }
static void multiply_f16(struct warp *w, const struct instruction *i, u32 lanes) { (void)lanes; multiply16(w, i, widen_f16); }
