/// Matrix products of packed operands, for int8, bf16 and f32: y [m, n] = x [m, k] * w^T [k, n], with what follows fused.
///
/// Both operands are packed into units of four bytes: 4 int8 (activations as q + 128, unsigned), 2 bf16, or 1 f32.
///   activations  tiles of 12 rows; a tile is [units][12], rows past the last one are zero
///   weights      panels of 32 channels; a panel is [units][32], for int8 after 32 corrections s32, -128 * (sum of the
///                channel's weights); channels and values of k past the end are zero
/// The forms are the same for every instruction set, private to the process and never stored in a file.
///
/// int8 follows the integer contract (Formats/schemes.md) and gives the same bits on every set. The float forms add
/// products in float32 in an order of their own, one chain per output and block of k: bf16 inputs are rounded to
/// nearest even, their products are exact; against float64 over the rounded inputs an output is within
/// (k / 64 + 16) * 2^-24 * (sum of |x * w|). With AVX512_BF16 subnormal inputs and sums count as zero.
#ifndef CKPACKED_H
#define CKPACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Types of packed operands.
static const int CK_PACKED_S8 = 0;
static const int CK_PACKED_BF16 = 1;
static const int CK_PACKED_F32 = 2;

/// Whether this CPU multiplies bf16 itself (AVX512_BF16); only beside CK_ISA_AVX512.
bool ck_bf16_supported(void);

/// Channels per panel.
size_t ck_packed_panel(void);
/// Bytes of n packed channels; for n a multiple of the panel the offset of channel n.
size_t ck_packed_weight_bytes(int type, size_t n, size_t k);
/// Packs w [n, k] (dense), of int8 for CK_PACKED_S8, else of f32. `packed` needs an alignment of 4, better 64.
void ck_pack_weights(int isa, int type, const void *w, size_t n, size_t k, void *packed);

/// Bytes of m packed rows.
size_t ck_packed_row_bytes(int type, size_t m, size_t k);
/// Packs rows of x f32 [m, k] (ldx). For CK_PACKED_S8 they are quantized as by `ck_quantize_rows_s8`, with scales s f32 [m];
/// for the others s is not used. Who splits rows splits them at multiples of 12.
void ck_pack_rows(int isa, int type, const void *x, size_t ldx, void *packed, void *s, size_t m, size_t k);
/// Packs what `ck_layernorm_modulate` gives for the same x [m, k] (dense), scale, shift and eps. `scratch` holds 12 * k f32.
void ck_pack_layernorm(
    int isa, int type, const void *x, const void *scale, const void *shift, double eps, void *packed, void *s, void *scratch,
    size_t m, size_t k);

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
/// double else. Threads best split channels, at multiples of the panel, or rows, at multiples of 12.
void ck_packed_product(int isa, const ck_product *p);

// ---- Cross-attention (cross_attention.c, cross_attention_avx512.c)

/// Bytes of the packed keys and values of so many heads.
size_t ck_cross_attention_bytes(size_t tokens, size_t d, size_t heads);
/// Bytes of scratch that `ck_cross_attention` needs, whatever the number of heads and queries.
size_t ck_cross_attention_scratch(size_t tokens, size_t d);
/// Packs keys f32 [tokens, heads * d] (ldk) and values (ldv). `packed` needs an alignment of 4, better 64.
void ck_pack_cross_attention(
    const void *k, size_t ldk, const void *v, size_t ldv, void *packed, size_t tokens, size_t d, size_t heads);
/// Heads [h0, h1) of out f32 [m, heads * d] (ldo) = softmax(scale * q k^T) v, q f32 [m, heads * d] (ldq), for tokens >= 1.
///
/// Scores are never written for more than 32 queries. Products are summed in float32; exponentials are computed in float32
/// with AVX-512, in double else. With s = scale * (sum over i of |q[i] k[i]|) at its largest, an output is within
/// (2 * s * (d + 2) + tokens + 16) * 2^-24 * (sum over tokens of p |v|) of the exact one, p being the exact probabilities.
void ck_cross_attention(
    int isa, const void *q, size_t ldq, const void *packed, void *out, size_t ldo, void *scratch, size_t m, size_t tokens, size_t d,
    size_t h0, size_t h1, double scale);

// ---- The gated unit of the mix-FFN (depthwise_glu.c)

/// y [h*w, c] (ldy) = depthwise(a) * silu(depthwise(g)): 3x3 convolutions with zero padding over maps a and g [h, w, c] whose
/// pixels are ldu elements apart; rows [row0, row1) of y, from the rows of a and g around them. Weights f32 [9, c] tap-major with rows ldw
/// apart, biases f32 [c].
///
/// Computed in float32 with AVX-512 (each convolution within 10 * 2^-24 * (sum of |x * w|), silu within 3 ulp), in double else.
void ck_depthwise_glu(
    int isa, const void *a, const void *g, size_t ldu, const void *wa, const void *wg, size_t ldw, const void *ba, const void *bg,
    void *y, size_t ldy, size_t h, size_t w, size_t c, size_t row0, size_t row1);

#endif
