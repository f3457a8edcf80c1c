// What stands around the dense convolutions of a residual block: quantization of pixels, SiLU, RMS norm with the residual.
#include "tiles.h"
#include "../shared/quantize.h"

// The bodies fuse only by fmaf and fix the order of their sums: the same bits on every instruction set.

// ---- Quantization, in the forms that the kernels take.

static void quantize_plain(const float *x, size_t c, uint8_t *q, float *s, size_t m) {
    for (size_t p = 0; p < m; p++, x += c, q += c) {
        s[p] = ck_row_scale(x, c);
        for (size_t i = 0; i < c; i++) { q[i] = (uint8_t)(int8_t)ck_quantized(x[i], s[p]); }
    }
}

#if CK_X86
// 16 bits each, filled up to pairs.
CK_TARGET_AVX2 static void quantize_avx2(const float *x, size_t c, uint8_t *q, float *s, size_t m) {
    size_t whole = (c + 1) / 2 * 2;
    int16_t *to = (int16_t *)(void *)q;
    for (size_t p = 0; p < m; p++, x += c, to += whole) {
        float scale = s[p] = ck_row_scale(x, c);
        CK_INDEPENDENT
        for (size_t i = 0; i < c; i++) { to[i] = (int16_t)ck_quantized(x[i], scale); }
        for (size_t i = c; i < whole; i++) { to[i] = 0; }
    }
}

// Bytes of q + 128, filled up to fours; what fills up meets weights that are zero.
CK_TARGET_AVX512 static void quantize_avx512(const float *x, size_t c, uint8_t *q, float *s, size_t m) {
    size_t whole = (c + 3) / 4 * 4;
    for (size_t p = 0; p < m; p++, x += c, q += whole) {
        float scale = s[p] = ck_row_scale(x, c);
        CK_INDEPENDENT
        for (size_t i = 0; i < c; i++) { q[i] = (uint8_t)(ck_quantized(x[i], scale) + 128); }
        for (size_t i = c; i < whole; i++) { q[i] = 128; }
    }
}
#endif

void ck_conv_i8_quantize(int isa, const void *x, size_t c, void *q, void *s, size_t m) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) { quantize_avx512(x, c, q, s, m); return; }
    if (isa >= CK_ISA_AVX2) { quantize_avx2(x, c, q, s, m); return; }
#endif
    (void)isa;
    quantize_plain(x, c, q, s, m);
}

// ---- SiLU.

// e^x for x limited to -87 ... 88, within 1 ulp; NaN as 88.
CK_INLINE float exp_float(float x) {
    x = x < 88.0f ? x : 88.0f;
    x = x > -87.0f ? x : -87.0f;
    float shifted = fmaf(x, 0x1.715476p+0f, ck_round_magic);  // log2 e; the nearest integer n in the low bits
    float n = shifted - ck_round_magic;
    // x - n ln 2 in two steps, ln 2 split so that the first product is exact.
    float r = fmaf(n, -0x1.62e4p-1f, x);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (int32_t)(((uint32_t)bits + 127u) << 23);
    float power;
    memcpy(&power, &bits, 4);
    // Taylor; the remainder for |r| <= ln 2 / 2 is below 6e-9.
    float p = 0x1.a01a02p-13f;
    p = fmaf(p, r, 0x1.6c16c2p-10f);
    p = fmaf(p, r, 0x1.111112p-7f);
    p = fmaf(p, r, 0x1.555556p-5f);
    p = fmaf(p, r, 0x1.555556p-3f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return p * power;
}

CK_INLINE void silu_f32_body(const float *x, float *y, size_t n) {
    CK_INDEPENDENT
    for (size_t i = 0; i < n; i++) { y[i] = x[i] / (1.0f + exp_float(-x[i])); }
}
CK_VARIANTS_512(silu_f32, (const float *x, float *y, size_t n), (x, y, n))

void ck_silu_f32(int isa, const void *x, void *y, size_t n) { CK_CALL_512(isa, silu_f32, x, y, n); }

// ---- RMS norm and residual.

CK_INLINE void rmsnorm_add_body(
    const float *x, const float *weight, const float *bias, double eps, const float *base, float *y, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++, x += k, y += k) {
        float factor = (float)(1.0 / sqrt(ck_row_squares(x, 0, k) / (double)k + eps));
        if (base) {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) { y[i] = base[i] + fmaf(x[i] * factor, weight[i], bias[i]); }
            base += k;
        } else {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) { y[i] = fmaf(x[i] * factor, weight[i], bias[i]); }
        }
    }
}
CK_VARIANTS_512(
    rmsnorm_add,
    (const float *x, const float *weight, const float *bias, double eps, const float *base, float *y, size_t m, size_t k),
    (x, weight, bias, eps, base, y, m, k))

void ck_rmsnorm_add(
    int isa, const void *x, const void *weight, const void *bias, double eps, const void *base, void *y, size_t m, size_t k) {
    CK_CALL_512(isa, rmsnorm_add, x, weight, bias, eps, base, y, m, k);
}

// ---- The shortcut around a doubling.

// repeats: 4 * outputs / inputs. The two values of the published autoencoder need no division.
CK_INLINE void add_doubled_body(const float *x, size_t inputs, size_t dy, float *y, size_t outputs, size_t x0, size_t x1) {
    if (outputs == 0 || inputs == 0) { return; }
    size_t repeats = 4 * outputs / inputs;
    for (size_t column = x0; column < x1; column++) {
        const float *from = x + column / 2 * inputs;
        float *to = y + column * outputs;
        size_t corner = 2 * dy + column % 2;
        if (repeats == 4) {
            CK_INDEPENDENT
            for (size_t i = 0; i < outputs; i++) { to[i] += from[i]; }
        } else if (repeats == 2) {
            CK_INDEPENDENT
            for (size_t i = 0; i < outputs; i++) { to[i] += from[2 * i + corner / 2]; }
        } else {
            for (size_t i = 0; i < outputs; i++) { to[i] += from[(4 * i + corner) / repeats]; }
        }
    }
}
CK_VARIANTS_512(
    add_doubled, (const float *x, size_t inputs, size_t dy, float *y, size_t outputs, size_t x0, size_t x1),
    (x, inputs, dy, y, outputs, x0, x1))

void ck_add_doubled(int isa, const void *x, size_t inputs, size_t dy, void *y, size_t outputs, size_t x0, size_t x1) {
    CK_CALL_512(isa, add_doubled, x, inputs, dy, y, outputs, x0, x1);
}
