/// Formats of numbers: int8 with scales, 16-bit floats, and how far they are from what they stand for. Part of CKernels.h, whose rules hold.
#ifndef CKNUMBERS_H
#define CKNUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Rows to int8, one scale per row, and back (numbers/quantize.c)

/// Quantizes rows of x f32 [m, k] (ldx) to q s8 [m, k] (dense) with scales s f32 [m].
///
/// s = absmax / 127 (IEEE division); where that is 0 (a row of zeros, or of numbers so small that the division
/// underflows), s = 1. q = x / s (IEEE division), rounded half to even, clamped to [-127, 127].
/// Input is meant to be finite. Otherwise the result is useless but defined: NaN is left out of absmax and, like any
/// quotient that is NaN, becomes -127; an infinity makes s infinite.
void ck_quantize_rows_s8(int isa, const void *x, size_t ldx, void *q, void *s, size_t m, size_t k);

/// y f32 [m, k] (ldy) = q s8 [m, k] * s f32 [m]; one rounding.
void ck_dequantize_rows_s8(int isa, const void *q, const void *s, void *y, size_t ldy, size_t m, size_t k);

// ---- Rows to four bits and a multiplier for each group (numbers/grouped.c). k is a multiple of 2 * CK_GROUP.

#define CK_GROUP 32

/// Quantizes rows of x f32 [m, k] (dense, finite): q u8 [m, k / 2] has two codes a byte, the first in the low half, each 8 above its value in
/// -8 ... 7; multipliers u8 [m, k / 2 / CK_GROUP] has two of 1 ... 15 a byte; scales s f32 [m].
///
/// s = absmax / 105, or 1 where that is 0. Of a group, x / s is rounded to multiples of the least multiplier that clamps nothing and of up to
/// three below it; the one that loses the least sum of squares stays, of equals the largest. The same bits on every instruction set.
void ck_quantize_rows_grouped(int isa, const void *x, void *q, void *multipliers, void *s, size_t m, size_t k);

/// codes s8 [m, k] = code * multiplier, within -120 ... 105.
void ck_expand_rows_grouped(int isa, const void *q, const void *multipliers, void *codes, size_t m, size_t k);

// ---- Rows turned by Hadamard matrices (numbers/turn.c)

/// y f32 [m, k] (ldy) = turn(x f32 [m, k] (ldx) * before f32 [k]) * after f32 [k]; in place where both are one. No factors: NULL.
///
/// A row is turned block by block: the first has as many elements as the largest power of two that is neither above k nor above `most`, and
/// so on with what is left. A block takes sums and differences of float32, of elements 1, 2, 4 ... apart, then the factor fl(1 / sqrt(n)) of
/// its n elements: the same bits on every instruction set.
void ck_turn_rows(
    int isa, const void *x, size_t ldx, const void *before, void *y, size_t ldy, const void *after, size_t m, size_t k, size_t most);

// ---- Weights to int8, and the distance of stored values from their source (numbers/distance.c)

/// Of each row of two f32 [m, k] (dense): sums f64 [m, 3] = sum of (decoded - source)^2, sum of source^2, largest |decoded - source|.
///
/// Differences and sums are double, in one order for every instruction set. Elements whose source is NaN or infinite count as 0.
void ck_distance_rows(int isa, const void *decoded, const void *source, void *sums, size_t m, size_t k);

/// ck_quantize_rows_s8 of x f32 [m, k] (dense), and in the same pass ck_distance_rows of q * s from x.
void ck_quantize_rows_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k);
/// The same of x bf16 [m, k] (dense), as if it were widened first, up to the first row that has a NaN or an infinity: gives its index, or m.
size_t ck_quantize_rows_bf16_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k);

// ---- 16-bit floats (numbers/half.c). Any alignment.
//
// Narrowing rounds to nearest even, f16 overflows to infinity. A NaN stays a NaN with its sign and the top bits of its
// payload, made quiet. Widening f16 makes a signalling NaN quiet (as the hardware does); widening bf16 keeps every bit.

/// The bits of the bf16 number that float32 bits are narrowed to.
static inline uint16_t ck_narrow_bf16(uint32_t bits) {
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quieted = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quieted : rounded);
}

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

#endif
