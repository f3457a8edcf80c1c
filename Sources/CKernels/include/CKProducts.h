/// Matrix products, for int8, bf16 and f32. Part of CKernels.h, whose rules hold.
#ifndef CKPRODUCTS_H
#define CKPRODUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- One row times a matrix (products/row_product.c)

/// y f32 [n] = x f32 [k] * (w f32 [n, k])^T, added to what y holds where `adds`. Products and sums are double, in one order for every
/// instruction set, and rounded once.
void ck_row_product(int isa, const void *x, const void *w, void *y, size_t n, size_t k, bool adds);

// ---- int8 weights, float activations, few rows (products/w8a32.c)

enum {
    /// Up to so many rows this is faster than decoding the weights for another product.
    CK_W8A32_ROWS = 64,
    /// Channels worked on at once: threads best split channels at multiples of it.
    CK_W8A32_CHANNELS = 6,
};

/// y f32 [m, n] (ldy) = x f32 [m, k] (ldx) * (s[n] * w s8 [n, k])^T + bias[n] (or NULL). Sums in float, in an order of each path's own:
/// within k rounding errors of 2^-24 of the sum of magnitudes. Weights are read as they are, once.
void ck_w8a32_linear(
    int isa, const void *x, size_t ldx, const void *w, const void *s, const void *bias, void *y, size_t ldy, size_t m, size_t n, size_t k);

// ---- int8 weights and activations, for CPUs without AVX-512 (products/w8a8.c, products/w8a8_avx2.c)
//
// Weights s8 [n, k] (one row per output channel, as in a checkpoint) are packed once for an instruction set. The packed
// form is a sequence of panels of `ck_w8a8_panel(isa)` channels, each of the same size; the last one is filled up with
// zeros. It is private to the process and never stored in a file:
//   plain    panel of 1: the row as it is, k bytes
//   avx2     panel of 16: for each pair of k: 16 channels x 2 bytes; k is filled up to even with zeros
// With AVX-512, packed products (below) are faster.
//
// Values are in [-127, 127], weights and activations; then k may go up to 65536 without int32 overflow.

/// Channels per panel.
size_t ck_w8a8_panel(int isa);
/// Bytes of n packed channels. For n a multiple of the panel also the offset of channel n, which lets threads pack
/// ranges of channels on their own.
size_t ck_w8a8_packed_bytes(int isa, size_t n, size_t k);
/// Packs w s8 [n, k] (dense). `packed` needs an alignment of 4, better 64.
void ck_w8a8_pack(int isa, const void *w, size_t n, size_t k, void *packed);

/// Rows that reuse what is widened once: threads best split rows at multiples of it.
enum { CK_W8A8_ROWS = 96 };

typedef struct {
    const void *q;        ///< s8 [m, k], dense
    const float *sx;      ///< scales [m] of the rows
    const void *packed;   ///< n channels
    const float *sw;      ///< scales [n] of the channels
    const float *bias;    ///< [n], or NULL for 0
    float *y;             ///< [m, n] (ldy); holds intermediate integers during the call
    size_t ldy, m, n, k;
} ck_w8a8;

/// y = fmaf(sx[m] * sw[n], (float)accumulator, bias[n]).
void ck_w8a8_linear(int isa, ck_w8a8 product);

// ---- Matrix products of packed operands: y [m, n] = x [m, k] * w^T [k, n], with what follows fused
//      (products/packed.c, products/packed_avx512.c)
//
// Both operands are packed into units of four bytes: 4 int8 (activations as q + 128, unsigned), 2 bf16, or 1 f32.
//   activations  tiles of 12 rows; a tile is [units][12], rows past the last one are zero
//   weights      panels of 32 channels; a panel is [units][32], for int8 after 32 corrections s32, -128 * (sum of the
//                channel's weights); channels and values of k past the end are zero
// The forms are the same for every instruction set, private to the process and never stored in a file.
//
// int8 follows the integer contract (Formats/schemes.md) and gives the same bits on every set. The float forms add
// products in float32 in an order of their own, one chain per output and block of k: bf16 inputs are rounded to
// nearest even, their products are exact; against float64 over the rounded inputs an output is within
// (k / 64 + 16) * 2^-24 * (sum of |x * w|). With AVX512_BF16 subnormal inputs and sums count as zero.

/// Types of packed operands.
static const int CK_PACKED_S8 = 0;
static const int CK_PACKED_BF16 = 1;
static const int CK_PACKED_F32 = 2;

enum {
    /// Rows of a tile of activations: who splits rows splits them at multiples of it.
    CK_PACKED_TILE = 12,
    /// Channels of a panel of weights: who splits channels splits them at multiples of it.
    CK_PACKED_PANEL = 32,
};

/// Bytes of n packed channels; for n a multiple of the panel the offset of channel n.
size_t ck_packed_weight_bytes(int type, size_t n, size_t k);
/// Packs w [n, k] (dense), of int8 for CK_PACKED_S8, else of f32. `packed` needs an alignment of 4, better 64.
void ck_pack_weights(int isa, int type, const void *w, size_t n, size_t k, void *packed);

/// Bytes of m packed rows.
size_t ck_packed_row_bytes(int type, size_t m, size_t k);

/// A product and what follows it. All pointers are to f32 where nothing else is said, and to the first channel of n.
typedef struct {
    int type;
    const void *rows;     ///< packed activations of m rows
    const void *sx;       ///< scales of the rows; int8 only
    const void *weights;  ///< packed, n channels
    const void *sw;       ///< scales [n] of the channels; int8 only
    const void *bias;     ///< [n] or NULL
    bool silu;            ///< y = silu(y)
    void *y;              ///< [m, n] (ldy); holds intermediate sums during the call
    size_t ldy;
    void *residual;       ///< NULL, or [m, n] (ldr): residual = fmaf(gate, y, residual), and y is left undefined
    size_t ldr;
    const void *gate;     ///< [n], or NULL for 1
    size_t m, n, k;
} ck_product;

/// int8: y = fmaf(sx[m] * sw[n], (float)accumulator, bias[n]). silu is computed in float32 with AVX-512, within 3 ulp, and in
/// double else.
void ck_packed_product(int isa, const ck_product *p);

// ---- Activations into their tiles (products/pack_rows.c)

/// Packs rows of x f32 [m, k] (ldx). For CK_PACKED_S8 they are quantized as by `ck_quantize_rows_s8`, with scales s f32 [m];
/// for the others s is not used.
void ck_pack_rows(int isa, int type, const void *x, size_t ldx, void *packed, void *s, size_t m, size_t k);
/// Packs what `ck_layernorm_modulate` gives for the same x [m, k] (dense), scale, shift and eps. `scratch` holds CK_PACKED_TILE * k f32.
void ck_pack_layernorm(
    int isa, int type, const void *x, const void *scale, const void *shift, double eps, void *packed, void *s, void *scratch,
    size_t m, size_t k);

#endif
