/// The C kernels of sprintpack: integer and floating-point loops over plain memory.
///
/// Common rules
/// - Every kernel takes the instruction set first. A caller passes `ck_isa_best()`; tests pass each supported one.
///   A kernel without a variant of its own for a set uses the next lower one. Passing a set that `ck_isa_supported`
///   denies ends in SIGILL.
/// - Every instruction set gives the same bits, for the integer kernels and, where no more is said, for the
///   floating-point ones: the sources are compiled without contraction, sums have a fixed order, and fused multiply-adds stand only where fmaf does.
///   The thread's rounding mode has to be the default one, with denormals on.
/// - Matrices are row-major. `[m, k]` has m rows of k elements; `ld..` is the distance of two rows in elements and at
///   least the number of columns. Images are channels-last: `[h, w, c]`, which is the token matrix `[h*w, c]`.
/// - Counts may be zero. Pointers need the alignment of their element type, where no more is said; outputs must not
///   overlap inputs, unless "in place" is allowed. Nothing is allocated; stack use stays below 256 KiB.
/// - Work is split over threads by the caller: by moving row pointers, or by the ranges some kernels take.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CKPacked.h"

// ---- Instruction sets (cpu.c)

/// Baseline C, whatever the compiler makes of it for the target.
static const int CK_ISA_PLAIN = 0;
/// AVX2, FMA and F16C.
static const int CK_ISA_AVX2 = 1;
/// AVX-512 F, BW, VL, DQ and VNNI, on top of CK_ISA_AVX2.
static const int CK_ISA_AVX512 = 2;

/// The best instruction set that this CPU and its operating system support.
int ck_isa_best(void);
bool ck_isa_supported(int isa);
/// "plain", "avx2", "avx512-vnni"; "unknown" for any other number. A static string.
const char *ck_isa_name(int isa);

// ---- Activations to int8, one scale per row (quantize.c)

/// Quantizes rows of x f32 [m, k] (ldx) to q s8 [m, k] (dense) with scales s f32 [m].
///
/// s = absmax / 127 (IEEE division); where that is 0 (a row of zeros, or of numbers so small that the division
/// underflows), s = 1. q = x / s (IEEE division), rounded half to even, clamped to [-127, 127].
/// Input is meant to be finite. Otherwise the result is useless but defined: NaN is left out of absmax and, like any
/// quotient that is NaN, becomes -127; an infinity makes s infinite.
void ck_quantize_rows_s8(int isa, const void *x, size_t ldx, void *q, void *s, size_t m, size_t k);

/// y f32 [m, k] (ldy) = q s8 [m, k] * s f32 [m]; one rounding.
void ck_dequantize_rows_s8(int isa, const void *q, const void *s, void *y, size_t ldy, size_t m, size_t k);

// ---- int8 weights, float activations, few rows (gemm_w8.c)

/// y f32 [m, n] (ldy) = x f32 [m, k] (ldx) * (s[n] * w s8 [n, k])^T + bias[n] (or NULL). Sums in float, in an order of each path's own:
/// within k rounding errors of 2^-24 of the sum of magnitudes. Weights are read as they are, once: for up to some sixty rows.
void ck_w8_rows_linear(
    int isa, const void *x, size_t ldx, const void *w, const void *s, const void *bias, void *y, size_t ldy, size_t m, size_t n, size_t k);

// ---- One row times a matrix (row_product.c)

/// y f32 [n] = x f32 [k] * (w f32 [n, k])^T, added to what y holds where `adds`. Products and sums are double, in one order for every
/// instruction set, and rounded once.
void ck_row_product(int isa, const void *x, const void *w, void *y, size_t n, size_t k, bool adds);

// ---- Weights to int8, and the distance of stored values from their source (distance.c)

/// y f32 [m, k] (ldy) = x f32 [m, k] (ldx) times the normalized Hadamard matrix of 32, block by block; in place where both are one.
///
/// k is a multiple of 32. Five steps of sums and differences of float32, of elements 1, 2, 4, 8 and 16 apart, then the factor
/// fl(1 / sqrt(32)): the same bits on every instruction set.
void ck_rotate_rows(int isa, const void *x, size_t ldx, void *y, size_t ldy, size_t m, size_t k);

/// Of each row of two f32 [m, k] (dense): sums f64 [m, 3] = sum of (decoded - source)^2, sum of source^2, largest |decoded - source|.
///
/// Differences and sums are double, in one order for every instruction set. Elements whose source is NaN or infinite count as 0.
void ck_distance_rows(int isa, const void *decoded, const void *source, void *sums, size_t m, size_t k);

/// ck_quantize_rows_s8 of x f32 [m, k] (dense), and in the same pass ck_distance_rows of q * s from x.
void ck_quantize_rows_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k);
/// The same of x bf16 [m, k] (dense), as if it were widened first, up to the first row that has a NaN or an infinity: gives its index, or m.
size_t ck_quantize_rows_bf16_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k);

// ---- SHA-256 (sha256.c)

/// Whether this CPU computes SHA-256 itself. Where it does not, the kernels below end the process: a library does it there.
bool ck_sha256_supported(void);
/// Takes `blocks` blocks of 64 bytes into the eight words of a state (FIPS 180-4), in native byte order.
void ck_sha256(uint32_t *state, const void *x, size_t blocks);
/// The same of two states with blocks of their own, in little more time than one takes. The states must not be one.
void ck_sha256_pair(uint32_t *first, const void *x, uint32_t *second, const void *y, size_t blocks);

// ---- An entropy code for weights (huffman.c, huffman_avx512.c)

/// Compresses x u8 [n], n up to 2^32 - 1, into one zstd frame (RFC 8878) of literals that are coded by a Huffman code for each block of
/// 128 KiB, without a search for repetitions. Gives its length; or 0 where a code cannot be described, which zstd itself has to try then.
///
/// `out` has room for ZSTD_compressBound(n) bytes, `scratch` for ck_huffman_scratch() ones. n >= 4096, so that it suffices.
size_t ck_huffman_frame(int isa, const void *x, size_t n, void *out, void *scratch);
size_t ck_huffman_scratch(void);

// ---- int8 linear layers, W8A8 (gemm_i8.c, gemm_i8_avx2.c, gemm_i8_avx512.c)
//
// Weights s8 [n, k] (one row per output channel, as in a checkpoint) are packed once for an instruction set. The packed
// form is a sequence of panels of `ck_w8_panel(isa)` channels, each of the same size; the last one is filled up with
// zeros. It is private to the process and never stored in a file:
//   plain    panel of 1: the row as it is, k bytes
//   avx2     panel of 16: for each pair of k: 16 channels x 2 bytes; k is filled up to even with zeros
//   avx512   panel of 32: 32 corrections s32, -128 * (sum of the channel's weights), since the activations enter as
//            q + 128 unsigned; then for each four of k: 32 channels x 4 bytes; k is filled up with zeros
//
// k >= 1. Values are in [-127, 127], weights and activations; then k may go up to 65536 without int32 overflow
// (255 * 127 * 65536 < 2^31 covers the offset form too).

/// Channels per panel.
size_t ck_w8_panel(int isa);
/// Bytes of n packed channels. For n a multiple of the panel also the offset of channel n, which lets threads pack
/// ranges of channels on their own.
size_t ck_w8_packed_bytes(int isa, size_t n, size_t k);
/// Packs w s8 [n, k] (dense). `packed` needs an alignment of 4, better 64.
void ck_w8_pack(int isa, const void *w, size_t n, size_t k, void *packed);

/// acc s32 [m, n] (ldacc) = q s8 [m, k] (dense) * w^T: the raw accumulators.
void ck_w8a8_accumulate(int isa, const void *q, const void *packed, void *acc, size_t ldacc, size_t m, size_t n, size_t k);

/// y f32 [m, n] (ldy) = fmaf(sx[m] * sw[n], (float)accumulator, bias[n]), bias 0 where NULL; only channels [n0, n1).
///
/// q s8 [m, k] (dense), sx f32 [m], sw f32 [n], bias f32 [n]. n0 is a multiple of the panel, n1 as well or n.
/// The columns [n0, n1) of y hold intermediate integers during the call. Threads best split rows (in multiples of 96);
/// splitting channels repeats the widening of q, which shows below some 256 channels per thread.
void ck_w8a8_linear(
    int isa, const void *q, const void *sx, const void *packed, const void *sw, const void *bias, void *y, size_t ldy,
    size_t m, size_t n, size_t k, size_t n0, size_t n1);

// ---- 16-bit floats (half.c). Any alignment.
//
// Narrowing rounds to nearest even, f16 overflows to infinity. A NaN stays a NaN with its sign and the top bits of its
// payload, made quiet. Widening f16 makes a signalling NaN quiet (as the hardware does); widening bf16 keeps every bit.

void ck_f32_to_f16(int isa, const void *x, void *y, size_t n);
void ck_f16_to_f32(int isa, const void *x, void *y, size_t n);
void ck_f32_to_bf16(int isa, const void *x, void *y, size_t n);
void ck_bf16_to_f32(int isa, const void *x, void *y, size_t n);

/// Element types of `ck_find_nonfinite`.
static const int CK_F32 = 0;
static const int CK_F16 = 1;
static const int CK_BF16 = 2;
static const int CK_F64 = 3;

/// Index of the first NaN or infinity among n elements of the given type, or n. Any alignment.
size_t ck_find_nonfinite(int isa, int type, const void *x, size_t n);
/// Counts NaNs and infinities among n f32. Any alignment.
void ck_count_nonfinite_f32(int isa, const void *x, size_t n, size_t *nans, size_t *infinities);

// ---- Byte planes (planes.c). Any alignment.

/// Splits n 16-bit little-endian values into their high bytes and their low bytes, n bytes each.
void ck_split16(int isa, const void *x, void *high, void *low, size_t n);
/// Inverse of `ck_split16`.
void ck_merge16(int isa, const void *high, const void *low, void *x, size_t n);

// ---- Norms (norm.c). Sums and arithmetic in double, one rounding at the end. In place allowed. Dense.

/// y [m, k] = (x - mean) / sqrt(variance + eps) * (1 + scale[k]) + shift[k]; scale and shift may be NULL (0).
void ck_layernorm_modulate(
    int isa, const void *x, const void *scale, const void *shift, double eps, void *y, size_t m, size_t k);
/// y [m, k] = x / sqrt(mean of squares + eps) * (weight_offset + weight[k]) + bias[k].
///
/// weight may be NULL (factor 1, the offset is not used), bias may be NULL (0). weight_offset is 0, or 1 for Gemma.
void ck_rmsnorm(
    int isa, const void *x, const void *weight, const void *bias, double weight_offset, double eps, void *y, size_t m,
    size_t k);

// ---- Elementwise (activation.c, elementwise.c). Computed in double, one rounding at the end: within 0.51 ulp of the exact value.
// In place allowed. NaN gives NaN; results for infinities are not specified.

void ck_silu(int isa, const void *x, void *y, size_t n);
/// gelu in its tanh form ("gelu_pytorch_tanh").
void ck_gelu_tanh(int isa, const void *x, void *y, size_t n);
/// max(x, 0); NaN stays NaN.
void ck_relu(int isa, const void *x, void *y, size_t n);
void ck_exp(int isa, const void *x, void *y, size_t n);
void ck_tanh(int isa, const void *x, void *y, size_t n);
/// y [m, h] = a * silu(g), where a = u[:, :h], g = u[:, h:] of u [m, 2h]. Not in place.
void ck_glu_silu(int isa, const void *u, void *y, size_t m, size_t h);
/// y [n] = gelu_tanh(gate[n]) * up[n].
void ck_geglu_tanh(int isa, const void *gate, const void *up, void *y, size_t n);
/// y = a + b.
void ck_add(int isa, const void *a, const void *b, void *y, size_t n);
/// x [m, k] += bias[k].
void ck_add_bias_rows(int isa, void *x, const void *bias, size_t m, size_t k);
/// x [m, k] += gate[k] * y [m, k]; gate may be NULL (1).
void ck_residual_gate(int isa, void *x, const void *gate, const void *y, size_t m, size_t k);

// ---- Attention (softmax.c, linear_attention.c)

/// Softmax of rows of x f32 [m, n] (ld), in place: v = scale * x, then softcap * tanh(v / softcap) where softcap > 0,
/// then exp(v - max) / sum, over the columns that row i may see; the others become 0.
///
/// scale > 0. Row i sees column j if j <= causal + i and, where window > 0, j > causal + i - window. `causal` is the
/// position of row 0 among the columns, or negative for no such limit (then window is ignored). A row that sees
/// nothing becomes all zeros. Computed in double from the inputs; two roundings to float per element.
void ck_softmax_rows(
    int isa, void *x, size_t ld, size_t m, size_t n, double scale, double softcap, ptrdiff_t causal, size_t window);

/// Largest head dimension of `ck_linear_attention`.
static const size_t CK_LINEAR_ATTENTION_MAX_D = 128;

/// Linear attention for heads [h0, h1) over t tokens: A = sum over tokens of v k^T, z = sum of k, o = A q / (z . q + eps).
///
/// Rows are tokens. Head h lies at columns h*head_stride + [0, d) of q (ldq), k (ldk) and v (ldv), and at h*d + [0, d) of
/// out (ldo). With `relu`, q and k are taken as max(., 0). All sums in double, one rounding at the end. Returns false,
/// having done nothing, if d is 0 or above CK_LINEAR_ATTENTION_MAX_D.
/// Source: diffusers SanaLinearAttnProcessor2_0 (eps 1e-15), SanaMultiscaleLinearAttention.
bool ck_linear_attention(
    int isa, const void *q, size_t ldq, const void *k, size_t ldk, const void *v, size_t ldv, void *out, size_t ldo,
    size_t t, size_t d, size_t head_stride, size_t h0, size_t h1, bool relu, double eps);
/// The same, with AVX-512 in float32: products over at most 32 tokens and over d are summed in float32, the rest in double.
/// An output is within (d + 40) * 2^-24 * (sum over j of q[j] * sum over tokens of |k[j] v|) / (z . q + eps) of the exact one.
bool ck_linear_attention_f32(
    int isa, const void *q, size_t ldq, const void *k, size_t ldk, const void *v, size_t ldv, void *out, size_t ldo,
    size_t t, size_t d, size_t head_stride, size_t h0, size_t h1, bool relu, double eps);

/// Softmax of rows of x f32 [m, n] (ld), in place: exp(scale * (x - max)) / sum, scale > 0. With AVX-512 in float32: the
/// argument of exp is rounded twice, exp is within 1.5 ulp, and the sum is of at most n / 16 + 4 roundings. In double else.
void ck_softmax_rows_f32(int isa, void *x, size_t ld, size_t m, size_t n, double scale);

// ---- Convolution (conv.c)

/// Depthwise convolution, stride 1, odd kernel ks x ks, zero padding ks/2: rows [row0, row1) of y [h, w, c].
///
/// x [h, w, c]; weight [ks*ks, c], tap-major (a checkpoint's [c, 1, ks, ks] transposed); bias [c] or NULL. x and y point
/// at row 0 of the whole image. Sums in double, one rounding.
void ck_depthwise(
    int isa, const void *x, const void *weight, const void *bias, void *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1);

#include "CKernelsConv.h"

#endif
