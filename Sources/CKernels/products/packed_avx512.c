// The packed matrix product with AVX-512: VNNI for int8, AVX512_BF16 for bf16, fused multiply-adds for f32.
//
// The units of an operand are streams of four bytes whatever its type is, so one tile serves all three. A block of k of a
// few panels stays in the second-level cache while all rows pass; a block of a tile of rows stays in the first-level
// cache while the panels pass. Between blocks of k the sums wait in y.
#include "packed.h"

#if CK_X86
#include "../shared/tile.h"
#include "../shared/transpose16.h"

enum {
    group_bytes = 320 << 10,  // of weights in the second-level cache
    pack_ahead = 64,          // units between a weight's prefetch and its packing
    weights_ahead = 16,       // units between a weight's prefetch and its use
    rows_ahead = 48           // the same of activations, which come from farther away: every panel reads all of them
};

CK_TILE(add_s8, CK_TARGET_AVX512, ck_i16x, ck_dot_s8, rows_ahead, weights_ahead)
CK_TILE(add_bf16, CK_TARGET_AVX512_BF16, ck_i16x, ck_dot_bf16, rows_ahead, weights_ahead)
CK_TILE(add_f32, CK_TARGET_AVX512, ck_i16x, ck_dot_f32, rows_ahead, weights_ahead)

// Adds `units` of k to the sums [tile_rows, 32] of the first rows of a tile.
#define TILE(name, target, add, lanes, tile_rows)                                                            \
    target __attribute__((noinline)) static void name(const int32_t *a, const int32_t *w, size_t units, ck_i16x sums[ck_tile_rows][2]) { \
        ck_i16x sum[tile_rows][2];                                                                           \
        memset(sum, 0, sizeof sum);                                                                          \
        add(tile_rows, a, sizeof *a, ck_tile_rows * sizeof *a, w, units, sum);                               \
        _Pragma("clang loop unroll(full)")                                                                   \
        for (int r = 0; r < tile_rows; r++) {                                                                \
            sums[r][0] = (ck_i16x)((lanes)sums[r][0] + (lanes)sum[r][0]);                                    \
            sums[r][1] = (ck_i16x)((lanes)sums[r][1] + (lanes)sum[r][1]);                                    \
        }                                                                                                    \
    }

// Where rows are left over, a third or two thirds of a tile do.
enum { few = 4, several = 8 };
#define TILES(name, target, add, lanes)                                                                      \
    TILE(name##_few, target, add, lanes, few)                                                                \
    TILE(name##_several, target, add, lanes, several)                                                        \
    TILE(name##_all, target, add, lanes, ck_tile_rows)                                                       \
    target static void name(const int32_t *a, const int32_t *w, size_t units, size_t rows, ck_i16x sums[ck_tile_rows][2]) { \
        (rows > several ? name##_all : rows > few ? name##_several : name##_few)(a, w, units, sums);         \
    }

TILES(tile_s8, CK_TARGET_AVX512, add_s8, ck_i16x)
TILES(tile_bf16, CK_TARGET_AVX512_BF16, add_bf16, ck_f16x)
TILES(tile_f32, CK_TARGET_AVX512, add_f32, ck_f16x)

CK_TARGET_AVX512 void ck_pack_units_avx512(const void *w, size_t units, void *packed) {
    const float *from = w;
    float *to = packed;
    size_t whole = units / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        for (size_t half = 0; half < ck_panel; half += 16) {
            ck_f16x v[16];
            for (size_t c = 0; c < 16; c++) {
                const float *row = from + (half + c) * units + i;
                v[c] = ck_load16(row);
                __builtin_prefetch(row + pack_ahead);
            }
            ck_transpose16(v);
            for (size_t j = 0; j < 16; j++) { ck_store16(to + (i + j) * ck_panel + half, v[j]); }
        }
    }
    for (size_t j = whole; j < units; j++) {
        for (size_t c = 0; c < ck_panel; c++) { memcpy(to + j * ck_panel + c, from + c * units + j, 4); }
    }
}

CK_TARGET_AVX512 void ck_panel_corrections_avx512(const void *panel, size_t units, int32_t corrections[ck_panel]) {
    const int32_t *w = panel, each = 0x01010101;
    ck_i16x sums[2] = {{0}}, ones = {each, each, each, each, each, each, each, each, each, each, each, each, each, each, each, each};
    for (size_t u = 0; u < units; u++, w += ck_panel) {
        for (size_t half = 0; half < 2; half++) {
            ck_i16x v;
            memcpy(&v, w + 16 * half, sizeof v);
            sums[half] = ck_dot_s8(sums[half], ones, v);
        }
    }
    for (size_t half = 0; half < 2; half++) { sums[half] *= -128; }
    memcpy(corrections, sums, sizeof sums);
}

CK_TARGET_AVX512 void ck_packed_tile_f32_avx512(const float *a, const float *w, size_t k, size_t rows, void *sums) {
    for (size_t i = 0; i < k; i += ck_chain) {
        const void *from = a + i * ck_tile_rows, *panel = w + i * ck_panel;
        tile_f32(from, panel, ck_least(ck_chain, k - i), rows, sums);
    }
}

// A tile's place: its rows and channels, and how many of them there are.
typedef struct { size_t row, rows, c0, channels; } place;

// Asks for the lines that a tile is going to write, which lie far apart: they come while it is computed.
CK_TARGET_AVX512 static void prefetch(const float *to, size_t ld, const place *at) {
    for (size_t r = 0; r < at->rows; r++) {
        const float *row = to + (at->row + r) * ld + at->c0;
        __builtin_prefetch(row, 1);
        __builtin_prefetch(row + 16, 1);
    }
}

// What sums start from: nothing, or a panel's corrections.
CK_TARGET_AVX512 static void start(const uint8_t *corrections, ck_i16x sums[ck_tile_rows][2]) {
    ck_i16x from[2] = {{0}};
    if (corrections) { memcpy(from, corrections, sizeof from); }
    for (size_t r = 0; r < ck_tile_rows; r++) { sums[r][0] = from[0]; sums[r][1] = from[1]; }
}

// Adds the sums of the blocks of k before this one, which wait in y.
CK_TARGET_AVX512 static void carry(const ck_product *p, const place *at, ck_i16x sums[ck_tile_rows][2]) {
    bool integer = p->type == CK_PACKED_S8;
    for (size_t half = 0; half < 2 && half * 16 < at->channels; half++) {
        size_t count = ck_least(16, at->channels - half * 16);
        const float *from = (const float *)p->y + at->row * p->ldy + at->c0 + half * 16;
        for (size_t r = 0; r < at->rows; r++, from += p->ldy) {
            ck_f16x before = ck_load16_part(from, count);
            sums[r][half] = integer ? (ck_i16x)before + sums[r][half] : (ck_i16x)(before + (ck_f16x)sums[r][half]);
        }
    }
}

CK_TARGET_AVX512 static void keep(const ck_product *p, const place *at, ck_i16x sums[ck_tile_rows][2]) {
    for (size_t half = 0; half < 2 && half * 16 < at->channels; half++) {
        size_t count = ck_least(16, at->channels - half * 16);
        float *to = (float *)p->y + at->row * p->ldy + at->c0 + half * 16;
        for (size_t r = 0; r < at->rows; r++, to += p->ldy) { ck_store16_part(to, (ck_f16x)sums[r][half], count); }
    }
}

// Turns complete sums into outputs, 16 channels at a time.
CK_INLINE_AVX512 void finish_as(const ck_product *p, const place *at, ck_i16x sums[ck_tile_rows][2], const bool s8, const bool silu, const bool adds) {
    for (size_t half = 0; half < 2 && half * 16 < at->channels; half++) {
        size_t count = ck_least(16, at->channels - half * 16), n = at->c0 + half * 16;
        ck_f16x zero = {0}, bias = p->bias ? ck_load16_part((const float *)p->bias + n, count) : zero;
        ck_f16x sw = s8 ? ck_load16_part((const float *)p->sw + n, count) : zero;
        ck_f16x gate = adds && p->gate ? ck_load16_part((const float *)p->gate + n, count) : ck_splat16(1.0f);
        for (size_t r = 0; r < at->rows; r++) {
            size_t row = at->row + r;
            ck_f16x y;
            if (s8) {
                y = ck_fma16(ck_splat16(((const float *)p->sx)[row]) * sw, __builtin_convertvector(sums[r][half], ck_f16x), bias);
            } else {
                y = (ck_f16x)sums[r][half] + bias;
            }
            if (silu) { y = ck_silu16(y); }
            if (adds) {
                float *to = (float *)p->residual + row * p->ldr + n;
                ck_store16_part(to, ck_fma16(gate, y, ck_load16_part(to, count)), count);
            } else {
                ck_store16_part((float *)p->y + row * p->ldy + n, y, count);
            }
        }
    }
}

// A loop for each case, without branches.
CK_TARGET_AVX512 static void finish(const ck_product *p, const place *at, ck_i16x sums[ck_tile_rows][2]) {
    bool s8 = p->type == CK_PACKED_S8, silu = p->silu, adds = p->residual;
    if (s8 && adds && !silu) {
        finish_as(p, at, sums, true, false, true);
    } else if (s8 && !adds && silu) {
        finish_as(p, at, sums, true, true, false);
    } else if (s8 && !adds) {
        finish_as(p, at, sums, true, false, false);
    } else {
        finish_as(p, at, sums, s8, silu, adds);
    }
}

CK_TARGET_AVX512 static void
block(const ck_product *p, size_t c0, size_t c1, size_t at, size_t units, bool last) {
    size_t panel_bytes = ck_one_panel_bytes(p->type, p->k), tile_bytes = ck_tile_bytes(p->type, p->k);
    for (size_t row = 0; row < p->m; row += ck_tile_rows) {
        const int32_t *a = (const int32_t *)(const void *)((const uint8_t *)p->rows + row / ck_tile_rows * tile_bytes) + at * ck_tile_rows;
        for (size_t c = c0; c < c1; c += ck_panel) {
            const uint8_t *panel = (const uint8_t *)p->weights + c / ck_panel * panel_bytes;
            const int32_t *w = (const int32_t *)(const void *)(panel + ck_panel_head(p->type)) + at * ck_panel;
            place here = {row, ck_least(ck_tile_rows, p->m - row), c, ck_least(ck_panel, c1 - c)};
            ck_i16x sums[ck_tile_rows][2];
            if (last && p->residual) { prefetch(p->residual, p->ldr, &here); }
            if (at > 0 || !(last && p->residual)) { prefetch(p->y, p->ldy, &here); }
            start(p->type == CK_PACKED_S8 && at == 0 ? panel : NULL, sums);
            if (p->type == CK_PACKED_S8) {
                tile_s8(a, w, units, here.rows, sums);
            } else if (p->type == CK_PACKED_BF16) {
                tile_bf16(a, w, units, here.rows, sums);
            } else {
                ck_packed_tile_f32_avx512((const float *)(const void *)a, (const float *)(const void *)w, units, here.rows, sums);
            }
            if (at > 0) { carry(p, &here, sums); }
            if (last) { finish(p, &here, sums); } else { keep(p, &here, sums); }
        }
    }
}

// Most units of a block of k: what the caches like.
static size_t depth_max(int type) { return type == CK_PACKED_S8 ? 1440 : type == CK_PACKED_BF16 ? 720 : 480; }

void ck_packed_product_avx512(const ck_product *p) {
    size_t units = ck_units(p->type, p->k), blocks = ck_divided_up(units, depth_max(p->type));
    // Without any units, one block of none: what follows a product is done all the same.
    size_t depth = blocks > 0 ? ck_divided_up(units, blocks) : 1;
    size_t group = ck_panel * (1 + group_bytes / (depth * ck_panel * 4));
    for (size_t c0 = 0; c0 < p->n; c0 += group) {
        size_t c1 = ck_least(c0 + group, p->n), at = 0;
        do {
            block(p, c0, c1, at, ck_least(depth, units - at), at + depth >= units);
            at += depth;
        } while (at < units);
    }
}
#endif
