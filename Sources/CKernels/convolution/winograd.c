// Dense 3x3 convolutions by Winograd's F(2x2, 3x3): 16 products instead of 36 for four outputs.
//
// With B, G and A of the minimal algorithm for two outputs and three taps,
//
//   B^T = | 1  0 -1  0 |   G = |  1    0    0  |   A^T = | 1  1  1  0 |
//         | 0  1  1  0 |       | 1/2  1/2  1/2 |         | 0  1 -1 -1 |
//         | 0 -1  1  0 |       | 1/2 -1/2  1/2 |
//         | 0  1  0 -1 |       |  0    0    1  |
//
// two by two outputs are A^T [(G g G^T) * (B^T d B)] A for the four by four inputs d around them: for each of 16 places a
// matrix product over the channels. Its four rows pass one after the other: the inputs of one, transformed, stay in the
// second-level cache for all panels of channels; the sums of a panel stay in the first. Source: Lavin and Gray, "Fast Algorithms
// for Convolutional Neural Networks", 2015.
#include "tiles.h"
#include "../shared/kernel_math.h"

enum {
    side = 4,          // of a tile of inputs
    tiles_max = 48,    // tiles worked on at once
    gap = 16,          // floats between the transformed pixels of neighbours, which powers of two would put into the same cache sets
};

CK_INLINE size_t pixel_floats(size_t c) { return c + gap; }

size_t ck_winograd_packed_bytes(int isa, size_t n, size_t c) {
    ck_conv_kernel k = ck_conv_kernel_f32(isa, c, n);
    return (n + k.panel - 1) / k.panel * side * side * k.tap_bytes;
}

size_t ck_winograd_scratch_bytes(size_t c) { return side * tiles_max * pixel_floats(c) * sizeof(float); }

// ---- Weights.

// Three taps, `stride` apart, times G.
CK_INLINE void spread_taps(const double *taps, size_t stride, double to[side]) {
    double ends = taps[0] + taps[2 * stride];
    to[0] = taps[0];
    to[1] = (ends + taps[stride]) / 2;
    to[2] = (ends - taps[stride]) / 2;
    to[3] = taps[2 * stride];
}

// A kernel's taps g, `c` elements apart, to G g G^T, whose places are `place` elements apart. In double, rounded once.
static void transform_taps(const float *g, size_t c, float *to, size_t place) {
    double taps[9], rows[3][side], columns[side];
    for (size_t tap = 0; tap < 9; tap++) { taps[tap] = (double)g[tap * c]; }
    for (size_t ky = 0; ky < 3; ky++) { spread_taps(taps + 3 * ky, 1, rows[ky]); }
    for (size_t j = 0; j < side; j++) {
        spread_taps(&rows[0][j], side, columns);
        for (size_t i = 0; i < side; i++) { to[(i * side + j) * place] = (float)columns[i]; }
    }
}

void ck_winograd_pack(int isa, const void *w, size_t n, size_t c, void *packed) {
    enum { run = 8 };  // channels whose places share cache lines
    ck_conv_kernel k = ck_conv_kernel_f32(isa, c, n);
    if (n % k.panel != 0) { memset(packed, 0, ck_winograd_packed_bytes(isa, n, c)); }
    for (size_t c0 = 0; c0 < n; c0 += k.panel) {
        float *to = (float *)packed + c0 * side * side * c;
        size_t outputs = n - c0 < k.panel ? n - c0 : k.panel;
        for (size_t first = 0; first < c; first += run) {
            for (size_t o = 0; o < outputs; o++) {
                for (size_t i = first; i < c && i < first + run; i++) {
                    transform_taps((const float *)w + (c0 + o) * 9 * c + i, c, to + i * k.panel + o, c * k.panel);
                }
            }
        }
    }
}

// ---- Inputs.

// The rows of d that a row of B^T combines: the first plus or minus the second.
static const struct { size_t first, second; bool adds; } combined[side] = {{0, 2, false}, {1, 2, true}, {2, 1, false}, {1, 3, false}};

typedef enum { rows_add, rows_subtract, rows_first, rows_second, rows_negated } pairing;

CK_INLINE float paired(const pairing how, const float *a, const float *b, size_t at) {
    switch (how) {
        case rows_add: return a[at] + b[at];
        case rows_subtract: return a[at] - b[at];
        case rows_first: return a[at];
        case rows_second: return b[at];
        default: return -b[at];
    }
}

// One row of B^T d times B, for all channels of a tile whose columns of inputs begin at the given pixels.
CK_INLINE void input_tile(const pairing how, const float *a, const float *b, const size_t column[side], size_t c, float *v, size_t place) {
    float *v0 = v, *v1 = v + place, *v2 = v + 2 * place, *v3 = v + 3 * place;
    CK_INDEPENDENT
    for (size_t i = 0; i < c; i++) {
        float d0 = paired(how, a, b, column[0] + i), d1 = paired(how, a, b, column[1] + i);
        float d2 = paired(how, a, b, column[2] + i), d3 = paired(how, a, b, column[3] + i);
        v0[i] = d0 - d2;
        v1[i] = d1 + d2;
        v2[i] = d2 - d1;
        v3[i] = d1 - d3;
    }
}

// The tiles [first, first + count) of rows a and b of w + 2 pixels. Past the end of a row, where only outputs past the image
// would look, the last pixel stands in.
CK_INLINE void input_tiles(const pairing how, const float *a, const float *b, size_t w, size_t first, size_t count, size_t c, float *v) {
    for (size_t t = 0; t < count; t++, v += pixel_floats(c)) {
        size_t column[side];
        for (size_t j = 0; j < side; j++) {
            size_t at = 2 * (first + t) + j;
            column[j] = (at < w + 2 ? at : w + 1) * c;
        }
        input_tile(how, a, b, column, c, v, tiles_max * pixel_floats(c));
    }
}

CK_INLINE void inputs_body(pairing how, const float *a, const float *b, size_t w, size_t first, size_t count, size_t c, float *v) {
    switch (how) {
        case rows_add: input_tiles(rows_add, a, b, w, first, count, c, v); break;
        case rows_subtract: input_tiles(rows_subtract, a, b, w, first, count, c, v); break;
        case rows_first: input_tiles(rows_first, a, b, w, first, count, c, v); break;
        case rows_second: input_tiles(rows_second, a, b, w, first, count, c, v); break;
        case rows_negated: input_tiles(rows_negated, a, b, w, first, count, c, v); break;
    }
}
CK_VARIANTS_512(
    inputs, (pairing how, const float *a, const float *b, size_t w, size_t first, size_t count, size_t c, float *v),
    (how, a, b, w, first, count, c, v))

// Row i of the places of all tiles; false where it is zero, as both its rows lie outside the image.
static bool transform_inputs(int isa, size_t i, const void *const *rows, size_t w, size_t first, size_t count, size_t c, float *v) {
    const float *a = rows[combined[i].first], *b = rows[combined[i].second];
    if (!a && !b) { return false; }
    pairing how = combined[i].adds ? rows_add : rows_subtract;
    if (!b) { how = rows_first; }
    if (!a) { how = combined[i].adds ? rows_second : rows_negated; }
    CK_CALL_512(isa, inputs, how, a, b, w, first, count, c, v);
    return true;
}

// ---- Outputs.

// What becomes of a sum on its way into an output row: nothing, or the output's first or a further part.
typedef enum { leave, begin, add, subtract } part;

CK_INLINE void put_part(const part how, float *y, float z, float bias) {
    switch (how) {
        case begin: *y = bias + z; break;
        case add: *y += z; break;
        case subtract: *y -= z; break;
        default: break;
    }
}

// Row i of the sums [4][tiles_max, panel] times A, and its part in the two output rows. Of the tiles' columns, 2 * first and on,
// those in [x0, x1) are written.
CK_INLINE void output_tiles(
    const part how[2], const float *m, size_t panel, const float *bias, size_t first, size_t count, size_t x0, size_t x1, size_t channels,
    float *const y[2], size_t n) {
    const size_t place = tiles_max * panel;
    for (size_t t = 0; t < count; t++, m += panel) {
        for (size_t half = 0; half < 2; half++) {
            size_t x = 2 * (first + t) + half;
            if (x < x0 || x >= x1) { continue; }
            float *y0 = how[0] == leave ? NULL : y[0] + x * n, *y1 = how[1] == leave ? NULL : y[1] + x * n;
            CK_INDEPENDENT
            for (size_t i = 0; i < channels; i++) {
                float z = half ? (m[place + i] - m[2 * place + i]) - m[3 * place + i] : (m[i] + m[place + i]) + m[2 * place + i];
                put_part(how[0], y0 + i, z, bias[i]);
                put_part(how[1], y1 + i, z, bias[i]);
            }
        }
    }
}

CK_INLINE void outputs_body(
    const part how[2], const float *m, size_t panel, const float *bias, size_t first, size_t count, size_t x0, size_t x1, size_t channels,
    float *const y[2], size_t n) {
#define CASE(p, q)                                                                                                \
    if (how[0] == p && how[1] == q) {                                                                             \
        output_tiles((const part[2]){p, q}, m, panel, bias, first, count, x0, x1, channels, y, n);                \
        return;                                                                                                   \
    }
    CASE(begin, leave) CASE(add, begin) CASE(add, subtract) CASE(leave, subtract)
    // At the upper edge, and where a single row ends the image.
    CASE(begin, begin) CASE(add, leave)
#undef CASE
}
CK_VARIANTS_512(
    outputs,
    (const part how[2], const float *m, size_t panel, const float *bias, size_t first, size_t count, size_t x0, size_t x1, size_t channels,
     float *const y[2], size_t n),
    (how, m, panel, bias, first, count, x0, x1, channels, y, n))

// ---- The walk.

// Sums [4][tiles_max, panel] of the transformed inputs v with the four places of a row of weights.
static void multiply(const ck_conv_kernel *k, const float *v, size_t count, size_t c, const uint8_t *weights, float *sums) {
    size_t tiles = (count + k->tile - 1) / k->tile;
    ck_conv_tile t = {.stride = pixel_floats(c) * sizeof(float)};
    for (size_t j = 0; j < side; j++) {
        memset(sums + j * tiles_max * k->panel, 0, count * k->panel * sizeof *sums);
        for (size_t at = 0, run = 0; at < c; at += k->run, run++) {
            t.depth = c - at < k->run ? c - at : k->run;
            t.weights = weights + j * k->tap_bytes + run * k->run_weight_bytes;
            // Tiles of nearly the same height: a low one keeps fewer accumulators busy.
            for (size_t i = 0; i < tiles; i++) {
                size_t first = i * count / tiles, height = (i + 1) * count / tiles - first;
                t.pixels = (const uint8_t *)(v + (j * tiles_max + first) * pixel_floats(c) + at);
                t.to[0] = sums + (j * tiles_max + first) * k->panel;
                k->add(height, &t);
            }
        }
    }
}

void ck_winograd(
    int isa, ck_conv_weights weights, const void *const *rows, size_t w, size_t x0, size_t x1, void *const *y, void *scratch) {
    const size_t c = weights.c, n = weights.n;
    const float *bias = weights.bias;
    static const float zeros[ck_conv_panel_max];
    ck_conv_kernel k = ck_conv_kernel_f32(isa, c, n);
    _Alignas(64) float sums[side * tiles_max * ck_conv_panel_max];
    float *v = scratch, *const target[2] = {y[0], y[1]};
    size_t end = (x1 + 1) / 2, all = end - x0 / 2, chunks = (all + tiles_max - 1) / tiles_max;
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        size_t first = x0 / 2 + chunk * all / chunks, count = x0 / 2 + (chunk + 1) * all / chunks - first;
        bool begun = false;
        for (size_t i = 0; i < side; i++) {
            if ((i == 3 && !y[1]) || !transform_inputs(isa, i, rows, w, first, count, c, v)) { continue; }
            // Rows of A^T: 1 1 1 0 and 0 1 -1 -1. Row 1 is never left out, as the first output row has an input row at its height.
            part how[2] = {i == 3 ? leave : begun ? add : begin, i == 0 || !y[1] ? leave : i == 1 ? begin : subtract};
            begun = true;
            for (size_t c0 = 0; c0 < n; c0 += k.panel) {
                const uint8_t *panel = (const uint8_t *)weights.packed + (c0 / k.panel * side + i) * side * k.tap_bytes;
                multiply(&k, v, count, c, panel, sums);
                size_t channels = n - c0 < k.panel ? n - c0 : k.panel;
                float *const at[2] = {target[0] + c0, target[1] ? target[1] + c0 : NULL};
                CK_CALL_512(isa, outputs, how, sums, k.panel, bias ? bias + c0 : zeros, first, count, x0, x1, channels, at, n);
            }
        }
    }
}
