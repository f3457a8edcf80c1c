// Activations into the tiles of the packed product: as they are, narrowed to bf16, or quantized to int8.
//
// A row becomes a column of four-byte units, 48 bytes apart. Each instruction set gives the same bits.
#include "packed.h"
#include "../shared/quantize.h"
#include "../shared/rows.h"

enum { chunk = 128 };

// Scatters `count` units.
CK_INLINE void scatter(const void *units, size_t count, uint8_t *to) {
    for (size_t u = 0; u < count; u++) { memcpy(to + u * 4 * ck_tile_rows, (const uint8_t *)units + 4 * u, 4); }
}

// At most `chunk` values of a row into their places in a tile.
CK_INLINE void pack_chunk(int type, const float *x, float scale, uint8_t *to, size_t count) {
    if (type == CK_PACKED_F32) {
        scatter(x, count, to);
    } else if (type == CK_PACKED_S8) {
        // Where k ends inside a unit, the weights are zero: any activation will do.
        uint8_t values[chunk] = {0};
        for (size_t i = 0; i < count; i++) { values[i] = (uint8_t)(ck_quantized(x[i], scale) + 128); }
        scatter(values, (count + 3) / 4, to);
    } else {
        uint16_t values[chunk] = {0};
        for (size_t i = 0; i < count; i++) { uint32_t bits; memcpy(&bits, x + i, 4); values[i] = ck_narrow_bf16(bits); }
        scatter(values, (count + 1) / 2, to);
    }
}

// At most 12 rows into a tile, chunk by chunk, so that its cache lines are complete while they are near.
CK_INLINE void pack_tile(int type, const float *x, size_t ldx, uint8_t *tile, float *s, size_t rows, size_t k) {
    float scales[ck_tile_rows] = {0};
    for (size_t r = 0; r < rows && type == CK_PACKED_S8; r++) { scales[r] = s[r] = ck_row_scale(x + r * ldx, k); }
    for (size_t at = 0; at < k; at += chunk) {
        for (size_t r = 0; r < rows; r++) {
            uint8_t *to = tile + (at / ck_per_unit(type) * ck_tile_rows + r) * 4;
            pack_chunk(type, x + r * ldx + at, scales[r], to, ck_least(chunk, k - at));
        }
    }
}

// Rows past the last one of a tile take part in the products, whose results nobody reads; as zeros they cannot be slow.
CK_INLINE void clear_rest(int type, uint8_t *packed, size_t m, size_t k) {
    if (m % ck_tile_rows == 0) { return; }
    uint8_t *tile = packed + m / ck_tile_rows * ck_tile_bytes(type, k);
    for (size_t u = 0; u < ck_units(type, k); u++) {
        memset(tile + (u * ck_tile_rows + m % ck_tile_rows) * 4, 0, (ck_tile_rows - m % ck_tile_rows) * 4);
    }
}

CK_INLINE void pack_body(int type, const float *x, size_t ldx, uint8_t *packed, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r += ck_tile_rows) {
        uint8_t *tile = packed + r / ck_tile_rows * ck_tile_bytes(type, k);
        pack_tile(type, x + r * ldx, ldx, tile, type == CK_PACKED_S8 ? s + r : NULL, ck_least(ck_tile_rows, m - r), k);
    }
    clear_rest(type, packed, m, k);
}
CK_VARIANTS_512(pack, (int type, const float *x, size_t ldx, uint8_t *packed, float *s, size_t m, size_t k), (type, x, ldx, packed, s, m, k))

CK_INLINE void pack_norm_body(
    int type, const float *x, const float *scale, const float *shift, double eps, uint8_t *packed, float *s, float *scratch, size_t m,
    size_t k) {
    for (size_t r = 0; r < m; r += ck_tile_rows) {
        size_t rows = ck_least(ck_tile_rows, m - r);
        for (size_t i = 0; i < rows; i++) { ck_layernorm_row(x + (r + i) * k, scale, shift, eps, scratch + i * k, k); }
        uint8_t *tile = packed + r / ck_tile_rows * ck_tile_bytes(type, k);
        pack_tile(type, scratch, k, tile, type == CK_PACKED_S8 ? s + r : NULL, rows, k);
    }
    clear_rest(type, packed, m, k);
}
CK_VARIANTS_512(
    pack_norm,
    (int type, const float *x, const float *scale, const float *shift, double eps, uint8_t *packed, float *s, float *scratch, size_t m,
     size_t k),
    (type, x, scale, shift, eps, packed, s, scratch, m, k))

void ck_pack_rows(int isa, int type, const void *x, size_t ldx, void *packed, void *s, size_t m, size_t k) {
    CK_CALL_512(isa, pack, type, x, ldx, packed, s, m, k);
}

void ck_pack_layernorm(
    int isa, int type, const void *x, const void *scale, const void *shift, double eps, void *packed, void *s, void *scratch,
    size_t m, size_t k) {
    CK_CALL_512(isa, pack_norm, type, x, scale, shift, eps, packed, s, scratch, m, k);
}
