// Dense 3x3 convolutions: packing, and the walk over panels, taps and tiles that all instruction sets share.
//
// Chunks of pixels, panels of channels, taps, runs of input channels, tiles: in this order from the outside in. A run of
// weights and the accumulators of a chunk stay in the first cache, the rows of the chunk in the second.
#include "../products/packed.h"
#include "tiles.h"

#include <math.h>
#include <string.h>

enum {
    taps = 9,
    chunk = 96,       // pixels of a chunk
    up_chunk = 23,    // input pixels of a doubling chunk: with one neighbour two tiles of 12
    narrow = 4,       // so few outputs would leave most of a panel empty; packed as panels of one, which are the rows as they are
};

// ---- Plain kernels: one pixel, one channel.

CK_INLINE void put(bool spreads, const ck_conv_tile *t, float scale, float sum) {
    if (spreads) {
        CK_CONV_SPREAD(t, 0, 1, { *at = fmaf(scale, sum, *at); })
    } else {
        *t->to[0] = fmaf(scale, sum, *t->to[0]);
    }
}

CK_INLINE float dot_f32(const ck_conv_tile *t) {
    const float *x = (const float *)(const void *)t->pixels, *w = (const float *)(const void *)t->weights;
    float sum = 0;
    for (size_t k = 0; k < t->depth; k++) { sum = fmaf(x[k], w[k], sum); }
    return sum;
}

CK_INLINE float dot_i8(const ck_conv_tile *t) {
    const int8_t *x = (const int8_t *)t->pixels, *w = (const int8_t *)t->weights;
    int32_t sum = 0;
    for (size_t k = 0; k < t->depth; k++) { sum += (int32_t)x[k] * (int32_t)w[k]; }
    return (float)sum;
}

static void add_f32(size_t n, const ck_conv_tile *t) { (void)n; put(false, t, 1, dot_f32(t)); }
static void spread_f32(size_t n, const ck_conv_tile *t) { (void)n; put(true, t, 1, dot_f32(t)); }
static void add_i8(size_t n, const ck_conv_tile *t) { (void)n; put(false, t, *t->scales, dot_i8(t)); }
static void spread_i8(size_t n, const ck_conv_tile *t) { (void)n; put(true, t, *t->scales, dot_i8(t)); }

// ---- The choice of the kernel.

ck_conv_kernel ck_conv_kernel_f32(int isa, size_t c, size_t n) {
    ck_conv_kernel k = {1, 1, 4 * c, 4 * c, 128, 128 * 4, 128 * 4, false, add_f32, spread_f32};
    if (n <= narrow) { return k; }
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        k.panel = 32, k.tile = 12, k.add = ck_conv_f32_add_avx512, k.spread = ck_conv_f32_spread_avx512;
    } else if (isa >= CK_ISA_AVX2) {
        k.panel = 16, k.tile = 6, k.add = ck_conv_f32_add_avx2, k.spread = ck_conv_f32_spread_avx2;
    }
#endif
    (void)isa;
    k.tap_bytes *= k.panel;
    k.run_weight_bytes *= k.panel;
    return k;
}

static ck_conv_kernel kernel_i8(int isa, size_t c) {
    // One run: a tap's accumulator is an exact integer.
    ck_conv_kernel k = {1, 1, c, c, c, 0, 0, true, add_i8, spread_i8};
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        size_t bytes = ck_divided_up(c, 4) * 4;
        k = (ck_conv_kernel){32, 12, bytes, 32 * 4 + 32 * bytes, c, 0, 0, true, ck_conv_i8_add_avx512, ck_conv_i8_spread_avx512};
    } else if (isa >= CK_ISA_AVX2) {
        size_t bytes = ck_divided_up(c, 2) * 4;
        k = (ck_conv_kernel){16, 6, bytes, 16 * bytes, c, 0, 0, true, ck_conv_i8_add_avx2, ck_conv_i8_spread_avx2};
    }
#endif
    (void)isa;
    return k;
}

size_t ck_conv_i8_pixel_bytes(int isa, size_t c) { return kernel_i8(isa, c).pixel_bytes; }

size_t ck_conv_panel(int isa) { return ck_conv_kernel_f32(isa, 1, SIZE_MAX).panel; }

// ---- Packing: panels, in them taps, in them the instruction set's order of channels.

static size_t packed_bytes(const ck_conv_kernel *k, size_t n) { return ck_divided_up(n, k->panel) * taps * k->tap_bytes; }

size_t ck_conv_f32_packed_bytes(int isa, size_t n, size_t c) {
    ck_conv_kernel k = ck_conv_kernel_f32(isa, c, n);
    return packed_bytes(&k, n);
}

size_t ck_conv_i8_packed_bytes(int isa, size_t n, size_t c) {
    ck_conv_kernel k = kernel_i8(isa, c);
    return packed_bytes(&k, n);
}

void ck_conv_f32_pack(int isa, const void *w, size_t n, size_t c, void *packed) {
    ck_conv_kernel k = ck_conv_kernel_f32(isa, c, n);
    if (n % k.panel != 0) { memset(packed, 0, packed_bytes(&k, n)); }
    for (size_t c0 = 0; c0 < n; c0 += k.panel) {
        const uint8_t *from = (const uint8_t *)w + c0 * taps * c * 4;
        uint8_t *to = (uint8_t *)packed + c0 / k.panel * taps * k.tap_bytes;
        size_t outputs = ck_least(k.panel, n - c0);
        // Channel by channel, in it the outputs of the panel: reads run along the rows, writes go on without gaps.
        for (size_t i = 0; i < taps * c; i++, to += 4 * k.panel) {
            for (size_t o = 0; o < outputs; o++) { memcpy(to + 4 * o, from + (o * taps * c + i) * 4, 4); }
        }
    }
}

static void pack_i8_avx2(const int8_t *from, size_t outputs, size_t c, uint8_t *to) {
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < c; i++) {
            int16_t value = from[o * taps * c + i];
            memcpy(to + ((i / 2 * 16 + o) * 2 + i % 2) * 2, &value, 2);
        }
    }
}

void ck_conv_i8_pack(int isa, const void *w, size_t n, size_t c, void *packed) {
    ck_conv_kernel k = kernel_i8(isa, c);
    memset(packed, 0, packed_bytes(&k, n));
    for (size_t c0 = 0; c0 < n; c0 += k.panel) {
        for (size_t tap = 0; tap < taps; tap++) {
            const int8_t *from = (const int8_t *)w + (c0 * taps + tap) * c;
            uint8_t *to = (uint8_t *)packed + (c0 / k.panel * taps + tap) * k.tap_bytes;
            size_t outputs = n - c0 < k.panel ? n - c0 : k.panel;
            switch (k.panel) {
                case 32: ck_pack_panel_s8(from, taps * c, outputs, c, to); break;
                case 16: pack_i8_avx2(from, outputs, c, to); break;
                default: memcpy(to, from, c); break;
            }
        }
    }
}

// ---- The walk.

typedef struct {
    ck_conv_kernel kernel;
    const void *const *rows;
    const void *const *scales;  // NULL in float32
    size_t step;
    ck_conv_weights weights;
} convolution;

// The tiles of pixels [0, count) of one row, from `pixel` on, for one tap; all channels. `t` says where sums go.
static void tap_tiles(
    const convolution *g, size_t row, size_t pixel, size_t count, const uint8_t *weights, bool spreads, ck_conv_tile t) {
    const ck_conv_kernel *k = &g->kernel;
    const uint8_t *pixels = (const uint8_t *)g->rows[row] + pixel * k->pixel_bytes;
    const float *scales = g->scales ? (const float *)g->scales[row] + pixel : NULL;
    // Tiles of nearly the same height: a low one keeps fewer accumulators busy.
    size_t tiles = ck_divided_up(count, k->tile);
    t.stride = g->step * k->pixel_bytes;
    t.scale_stride = g->step;
    float *to = t.to[0];
    ptrdiff_t column = t.column;
    for (size_t at = 0, run = 0; at < g->weights.c; at += k->run, run++) {
        t.depth = g->weights.c - at < k->run ? g->weights.c - at : k->run;
        t.weights = weights + run * k->run_weight_bytes;
        for (size_t i = 0; i < tiles; i++) {
            size_t first = i * count / tiles, height = (i + 1) * count / tiles - first;
            t.pixels = pixels + first * t.stride + run * k->run_pixel_bytes;
            t.scales = scales ? scales + first * g->step : NULL;
            if (spreads) {
                t.column = column + 2 * (ptrdiff_t)first;
                k->spread(height, &t);
            } else {
                t.to[0] = to + first * k->panel;
                k->add(height, &t);
            }
        }
    }
}

// y [count, channels] (ldy) of finished sums in panels: y = fmaf(f, sw, bias).
CK_INLINE void finish_body(const float *f, const float *sw, const float *bias, size_t count, size_t panel, size_t channels, float *y, size_t ldy) {
    float scale[ck_conv_panel_max], offset[ck_conv_panel_max];
    for (size_t i = 0; i < channels; i++) { scale[i] = sw ? sw[i] : 1.0f, offset[i] = bias ? bias[i] : 0.0f; }
    for (size_t p = 0; p < count; p++) {
        for (size_t i = 0; i < channels; i++) { y[p * ldy + i] = fmaf(f[p * panel + i], scale[i], offset[i]); }
    }
}
CK_VARIANTS_512(
    finish, (const float *f, const float *sw, const float *bias, size_t count, size_t panel, size_t channels, float *y, size_t ldy),
    (f, sw, bias, count, panel, channels, y, ldy))

static void finish_panel(int isa, const convolution *g, const float *f, size_t count, size_t c0, float *y) {
    size_t panel = g->kernel.panel, channels = ck_least(panel, g->weights.n - c0);
    const float *sw = g->weights.sw, *bias = g->weights.bias;
    CK_CALL_512(isa, finish, f, sw ? sw + c0 : NULL, bias ? bias + c0 : NULL, count, panel, channels, y + c0, g->weights.n);
}

static void convolve(int isa, const convolution *g, size_t x0, size_t x1, float *y) {
    size_t panel = g->kernel.panel;
    _Alignas(64) float sums[chunk * ck_conv_panel_max];
    size_t chunks = ck_divided_up(x1 - x0, chunk);
    for (size_t i = 0; i < chunks; i++) {
        size_t first = x0 + i * (x1 - x0) / chunks, count = x0 + (i + 1) * (x1 - x0) / chunks - first;
        for (size_t c0 = 0; c0 < g->weights.n; c0 += panel) {
            const uint8_t *weights = (const uint8_t *)g->weights.packed + c0 / panel * taps * g->kernel.tap_bytes;
            memset(sums, 0, count * panel * sizeof *sums);
            for (size_t tap = 0; tap < taps; tap++) {
                if (!g->rows[tap / 3]) { continue; }
                ck_conv_tile t = {.to = {sums, NULL}};
                tap_tiles(g, tap / 3, first * g->step + tap % 3, count, weights + tap * g->kernel.tap_bytes, false, t);
            }
            finish_panel(isa, g, sums, count, c0, y + first * g->weights.n);
        }
    }
}

// The output row of a band to which tap `ky` carries row 2 * (row - 1) + half of the doubled image, both counted from the
// band's first; NULL outside the band. Input row 0 is the one above the band.
static float *doubled_row(float *sums, size_t line, size_t count, size_t row, size_t ky, size_t half) {
    ptrdiff_t at = 2 * ((ptrdiff_t)row - 1) + (ptrdiff_t)half - ((ptrdiff_t)ky - 1);
    return at >= 0 && at < 2 * (ptrdiff_t)count ? sums + (size_t)at * line : NULL;
}

static void convolve_doubled(int isa, const convolution *g, size_t count, size_t x0, size_t x1, void *const *y) {
    size_t panel = g->kernel.panel;
    _Alignas(64) float sums[2 * CK_UPCONV_MAX_ROWS * 2 * up_chunk * ck_conv_panel_max];
    size_t chunks = ck_divided_up(x1 - x0, up_chunk);
    for (size_t i = 0; i < chunks; i++) {
        size_t first = x0 + i * (x1 - x0) / chunks, width = x0 + (i + 1) * (x1 - x0) / chunks - first, line = 2 * width * panel;
        for (size_t c0 = 0; c0 < g->weights.n; c0 += panel) {
            const uint8_t *weights = (const uint8_t *)g->weights.packed + c0 / panel * taps * g->kernel.tap_bytes;
            memset(sums, 0, 2 * count * line * sizeof *sums);
            for (size_t row = 0; row < count + 2; row++) {
                if (!g->rows[row]) { continue; }
                for (size_t tap = 0; tap < taps; tap++) {
                    size_t ky = tap / 3, kx = tap % 3;
                    ck_conv_tile t = {
                        .to = {doubled_row(sums, line, count, row, ky, 0), doubled_row(sums, line, count, row, ky, 1)},
                        // The left neighbour's right tap and the right neighbour's left one reach into the chunk.
                        .column = (kx == 0 ? -2 : 0) - ((ptrdiff_t)kx - 1),
                        .columns = 2 * (ptrdiff_t)width,
                    };
                    if (!t.to[0] && !t.to[1]) { continue; }
                    tap_tiles(g, row, first + (kx == 0 ? 0 : 1), width + (kx == 1 ? 0 : 1), weights + tap * g->kernel.tap_bytes, true, t);
                }
            }
            for (size_t row = 0; row < 2 * count; row++) {
                finish_panel(isa, g, sums + row * line, 2 * width, c0, (float *)y[row] + 2 * first * g->weights.n);
            }
        }
    }
}

// ---- Few outputs, in float32: sums run along the channels, 16 of them side by side.

typedef float lanes __attribute__((vector_size(64), aligned(4)));

// `count` pixels with n outputs each. The three pixels under a row of taps lie side by side, as do their weights.
CK_INLINE void narrow_tile(const size_t n, const size_t count, const convolution *g, size_t x, float *y) {
#pragma clang fp contract(fast)
    lanes sum[4][narrow];
    float rest[4][narrow];
    memset(sum, 0, sizeof sum);
    memset(rest, 0, sizeof rest);
    const float *bias = g->weights.bias;
    size_t run = 3 * g->weights.c, whole = run / 16 * 16;
    for (size_t ky = 0; ky < 3; ky++) {
        if (!g->rows[ky]) { continue; }
        const float *from = (const float *)g->rows[ky] + x * g->step * g->weights.c;
        const float *w = (const float *)g->weights.packed + ky * run;
        for (size_t i = 0; i < whole; i += 16) {
            lanes weights[narrow];
            for (size_t o = 0; o < n; o++) { memcpy(&weights[o], w + o * taps * g->weights.c + i, sizeof weights[o]); }
            for (size_t p = 0; p < count; p++) {
                lanes values;
                memcpy(&values, from + p * g->step * g->weights.c + i, sizeof values);
                for (size_t o = 0; o < n; o++) { sum[p][o] += values * weights[o]; }
            }
        }
        for (size_t i = whole; i < run; i++) {
            for (size_t p = 0; p < count; p++) {
                for (size_t o = 0; o < n; o++) { rest[p][o] += from[p * g->step * g->weights.c + i] * w[o * taps * g->weights.c + i]; }
            }
        }
    }
    for (size_t p = 0; p < count; p++) {
        for (size_t o = 0; o < n; o++) {
            float total = rest[p][o];
            for (size_t i = 0; i < 16; i++) { total += sum[p][o][i]; }
            y[(x + p) * n + o] = total + (bias ? bias[o] : 0.0f);
        }
    }
}

CK_INLINE void narrow_row(const size_t n, const convolution *g, size_t x0, size_t x1, float *y) {
    for (; x0 + 4 <= x1; x0 += 4) { narrow_tile(n, 4, g, x0, y); }
    for (; x0 < x1; x0++) { narrow_tile(n, 1, g, x0, y); }
}

CK_INLINE void narrow_body(const convolution *g, size_t x0, size_t x1, float *y) {
    switch (g->weights.n) {
        case 1: narrow_row(1, g, x0, x1, y); break;
        case 2: narrow_row(2, g, x0, x1, y); break;
        case 3: narrow_row(3, g, x0, x1, y); break;
        case narrow: narrow_row(narrow, g, x0, x1, y); break;
        default: break;
    }
}
CK_VARIANTS_512(narrow, (const convolution *g, size_t x0, size_t x1, float *y), (g, x0, x1, y))

// ---- The entries.

static convolution prepared(int isa, const ck_conv_weights *w, const void *const *rows, const void *const *scales, size_t step) {
    return (convolution){w->sw ? kernel_i8(isa, w->c) : ck_conv_kernel_f32(isa, w->c, w->n), rows, scales, step, *w};
}

void ck_conv(
    int isa, ck_conv_weights w, const void *const *rows, const void *const *scales, size_t step, size_t x0, size_t x1, void *y) {
    convolution g = prepared(isa, &w, rows, scales, step);
    if (!w.sw && w.n <= narrow) {
        CK_CALL_512(isa, narrow, &g, x0, x1, y);
        return;
    }
    convolve(isa, &g, x0, x1, y);
}

void ck_upconv(
    int isa, ck_conv_weights w, const void *const *rows, const void *const *scales, size_t count, size_t x0, size_t x1, void *const *y) {
    convolution g = prepared(isa, &w, rows, scales, 1);
    convolve_doubled(isa, &g, count, x0, x1, y);
}
