// The packed matrix product: what its instruction sets share.
#ifndef CKERNELS_PACKED_H
#define CKERNELS_PACKED_H

#include "../shared/internal.h"

/// Rows of a tile of activations and channels of a panel of weights. 24 accumulators of 16 lanes, two weight vectors and a
/// broadcast fill 27 of 32 registers, and every 26 loads feed 24 multiplications.
enum { ck_tile_rows = CK_PACKED_TILE, ck_panel = CK_PACKED_PANEL };
_Static_assert(ck_panel == 2 * 16 && ck_tile_rows == 3 * 4, "the register tile: two vectors of channels, thirds of rows");

/// Float32 products that are added one to the next before their sum joins the others: short chains round less.
enum { ck_chain = 160 };

/// A unit is the four bytes that one lane multiplies at once: 4 int8, 2 bf16 or 1 f32.
CK_INLINE size_t ck_per_unit(int type) { return type == CK_PACKED_S8 ? 4 : type == CK_PACKED_BF16 ? 2 : 1; }
CK_INLINE size_t ck_units(int type, size_t k) { return ck_divided_up(k, ck_per_unit(type)); }
/// Corrections in front of a panel of int8 weights: -128 * (sum of a channel), since activations enter as q + 128.
CK_INLINE size_t ck_panel_head(int type) { return type == CK_PACKED_S8 ? ck_panel * 4 : 0; }
CK_INLINE size_t ck_one_panel_bytes(int type, size_t k) { return ck_panel_head(type) + ck_units(type, k) * 4 * ck_panel; }
CK_INLINE size_t ck_tile_bytes(int type, size_t k) { return ck_units(type, k) * 4 * ck_tile_rows; }

/// Channels of int8 [channels, k] (ld), at most a panel of them, as a panel: corrections, then units. What they leave out of it stays as it is.
void ck_pack_panel_s8(const int8_t *w, size_t ld, size_t channels, size_t k, uint8_t *packed);

#if CK_X86
void ck_packed_product_avx512(const ck_product *p);
/// Turns rows of units [32][units] into the units of a panel [units][32].
void ck_pack_units_avx512(const void *w, size_t units, void *packed);
/// The corrections of a panel of int8.
void ck_panel_corrections_avx512(const void *panel, size_t units, int32_t corrections[ck_panel]);
/// Adds k products of f32 to the first `rows` of sums f32 [12][32], which start on a vector: a tile [k][12] times a panel [k][32],
/// in short chains.
void ck_packed_tile_f32_avx512(const float *a, const float *w, size_t k, size_t rows, void *sums);
#endif

#endif
