// Activations into the tiles of the packed product: as they are, narrowed to bf16, or quantized to int8.
//
// A row becomes a column of four-byte units, 48 bytes apart. Each instruction set gives the same bits.
#include "packed.h"
#include "rows.h"

enum { chunk = 256 };

CK_INLINE uint16_t narrow_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quieted = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quieted : rounded);
}

// Scatters `count` units.
CK_INLINE void scatter(const void *units, size_t count, uint8_t *to) {
    for (size_t u = 0; u < count; u++) { memcpy(to + u * 4 * ck_tile_rows, (const uint8_t *)units + 4 * u, 4); }
}

// One row of k values into its place in a tile; returns its scale.
CK_INLINE float pack_row(int type, const float *x, uint8_t *to, size_t k) {
    if (type == CK_PACKED_F32) {
        scatter(x, k, to);
        return 1.0f;
    }
    float scale = type == CK_PACKED_S8 ? ck_row_scale(x, k) : 1.0f;
    for (size_t at = 0; at < k; at += chunk) {
        size_t count = ck_least(chunk, k - at);
        uint8_t *out = to + at / ck_per_unit(type) * 4 * ck_tile_rows;
        if (type == CK_PACKED_S8) {
            // Where k ends inside a unit, the weights are zero: any activation will do.
            uint8_t values[chunk] = {0};
            for (size_t i = 0; i < count; i++) { values[i] = (uint8_t)(ck_quantized(x[at + i], scale) + 128); }
            scatter(values, (count + 3) / 4, out);
        } else {
            uint16_t values[chunk] = {0};
            for (size_t i = 0; i < count; i++) { values[i] = narrow_bf16(x[at + i]); }
            scatter(values, (count + 1) / 2, out);
        }
    }
    return scale;
}

// Rows past the last one of a tile take part in the products, whose results nobody reads; as zeros they cannot be slow.
CK_INLINE void clear_rest(int type, uint8_t *packed, size_t m, size_t k) {
    if (m % ck_tile_rows == 0) { return; }
    uint8_t *tile = packed + m / ck_tile_rows * ck_tile_bytes(type, k);
    for (size_t u = 0; u < ck_units(type, k); u++) {
        memset(tile + (u * ck_tile_rows + m % ck_tile_rows) * 4, 0, (ck_tile_rows - m % ck_tile_rows) * 4);
    }
}

CK_INLINE uint8_t *row_place(int type, uint8_t *packed, size_t row, size_t k) {
    return packed + row / ck_tile_rows * ck_tile_bytes(type, k) + row % ck_tile_rows * 4;
}

CK_INLINE void pack_body(int type, const float *x, size_t ldx, uint8_t *packed, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        float scale = pack_row(type, x + r * ldx, row_place(type, packed, r, k), k);
        if (type == CK_PACKED_S8) { s[r] = scale; }
    }
    clear_rest(type, packed, m, k);
}
CK_VARIANTS_512(pack, (int type, const float *x, size_t ldx, uint8_t *packed, float *s, size_t m, size_t k), (type, x, ldx, packed, s, m, k))

CK_INLINE void pack_norm_body(
    int type, const float *x, const float *scale, const float *shift, double eps, uint8_t *packed, float *s, float *row, size_t m,
    size_t k) {
    for (size_t r = 0; r < m; r++) {
        ck_layernorm_row(x + r * k, scale, shift, eps, row, k);
        float step = pack_row(type, row, row_place(type, packed, r, k), k);
        if (type == CK_PACKED_S8) { s[r] = step; }
    }
    clear_rest(type, packed, m, k);
}
CK_VARIANTS_512(
    pack_norm,
    (int type, const float *x, const float *scale, const float *shift, double eps, uint8_t *packed, float *s, float *row, size_t m,
     size_t k),
    (type, x, scale, shift, eps, packed, s, row, m, k))

void ck_pack_rows(int isa, int type, const void *x, size_t ldx, void *packed, void *s, size_t m, size_t k) {
    CK_CALL_512(isa, pack, type, x, ldx, packed, s, m, k);
}

void ck_pack_layernorm(
    int isa, int type, const void *x, const void *scale, const void *shift, double eps, void *packed, void *s, void *row,
    size_t m, size_t k) {
    CK_CALL_512(isa, pack_norm, type, x, scale, shift, eps, packed, s, row, m, k);
}
