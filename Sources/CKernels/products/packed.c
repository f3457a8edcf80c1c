// The packed matrix product: packing, choice of the instruction set, and the plain version that defines the result.
#include "packed.h"

#include "../shared/kernel_math.h"

// Whether this CPU multiplies bf16 itself, beside CK_ISA_AVX512.
static bool bf16_supported(void) {
#ifdef CK_EMULATE_AVX512
    return true;
#elif CK_X86
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

size_t ck_packed_weight_bytes(int type, size_t n, size_t k) { return ck_divided_up(n, ck_panel) * ck_one_panel_bytes(type, k); }

size_t ck_packed_row_bytes(int type, size_t m, size_t k) { return ck_divided_up(m, ck_tile_rows) * ck_tile_bytes(type, k); }

// Four values of k after the other, in them the channels: reads run along the rows, writes go on without gaps.
void ck_pack_panel_s8(const int8_t *w, size_t ld, size_t channels, size_t k, uint8_t *packed) {
    int32_t corrections[ck_panel] = {0};
    uint8_t *to = packed + sizeof corrections;
    size_t i = 0;
    for (; i + 4 <= k; i += 4, to += 4 * ck_panel) {
        for (size_t c = 0; c < channels; c++) { memcpy(to + 4 * c, w + c * ld + i, 4); }
    }
    for (size_t c = 0; c < channels && i < k; c++) { memcpy(to + 4 * c, w + c * ld + i, k - i); }
    for (size_t c = 0; c < channels; c++) {
        for (i = 0; i < k; i++) { corrections[c] -= 128 * (int32_t)w[c * ld + i]; }
    }
    memcpy(packed, corrections, sizeof corrections);
}

// Eight values of k at a time, so that the cache lines of a panel are written whole while they are near.
static void pack_f32(const float *w, size_t channels, size_t k, float *packed) {
    for (size_t i = 0; i < k; i += 8) {
        size_t end = ck_least(i + 8, k);
        for (size_t c = 0; c < channels; c++) {
            for (size_t j = i; j < end; j++) { packed[j * ck_panel + c] = w[c * k + j]; }
        }
    }
}

static void pack_bf16(int isa, const float *w, size_t channels, size_t k, uint16_t *packed) {
    enum { block = 64 };
    uint16_t narrow[block];
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < k; i += block) {
            size_t count = ck_least(block, k - i);
            ck_f32_to_bf16(isa, w + c * k + i, narrow, count);
            for (size_t j = 0; j < count; j++) { packed[(i + j) / 2 * 2 * ck_panel + 2 * c + (i + j) % 2] = narrow[j]; }
        }
    }
}

void ck_pack_weights(int isa, int type, const void *w, size_t n, size_t k, void *packed) {
    size_t bytes = ck_one_panel_bytes(type, k);
    for (size_t c0 = 0; c0 < n; c0 += ck_panel) {
        size_t channels = ck_least(ck_panel, n - c0);
        uint8_t *to = (uint8_t *)packed + c0 / ck_panel * bytes;
#if CK_X86
        if (isa >= CK_ISA_AVX512 && type != CK_PACKED_BF16 && channels == ck_panel && k % ck_per_unit(type) == 0) {
            // Both are four-byte units already.
            uint8_t *units = to + ck_panel_head(type);
            ck_pack_units_avx512((const uint8_t *)w + c0 * ck_units(type, k) * 4, ck_units(type, k), units);
            if (type == CK_PACKED_S8) { ck_panel_corrections_avx512(units, ck_units(type, k), (int32_t *)(void *)to); }
            continue;
        }
#endif
        if (channels < ck_panel || k % ck_per_unit(type) != 0) { memset(to, 0, bytes); }
        if (type == CK_PACKED_S8) {
            ck_pack_panel_s8((const int8_t *)w + c0 * k, k, channels, k, to);
        } else if (type == CK_PACKED_BF16) {
            pack_bf16(isa, (const float *)w + c0 * k, channels, k, (uint16_t *)(void *)to);
        } else {
            pack_f32((const float *)w + c0 * k, channels, k, (float *)(void *)to);
        }
    }
}

// ---- The plain product

CK_INLINE float widened(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

// Turns the sums s32 or f32 [rows, 32] of channels from c0 on into outputs.
static void finish_plain(const ck_product *p, size_t row, size_t rows, size_t c0, const void *sums) {
    const float *sx = p->sx, *sw = p->sw, *bias = p->bias, *gate = p->gate;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < ck_panel && c0 + c < p->n; c++) {
            size_t n = c0 + c;
            float b = bias ? bias[n] : 0.0f, y;
            if (p->type == CK_PACKED_S8) {
                y = fmaf(sx[row + r] * sw[n], (float)((const int32_t *)sums)[r * ck_panel + c], b);
            } else {
                y = ((const float *)sums)[r * ck_panel + c] + b;
            }
            if (p->silu) { y = (float)ck_silu_double((double)y); }
            if (p->residual) {
                float *to = (float *)p->residual + (row + r) * p->ldr + n;
                *to = fmaf(gate ? gate[n] : 1.0f, y, *to);
            } else {
                ((float *)p->y)[(row + r) * p->ldy + n] = y;
            }
        }
    }
}

CK_INLINE void tile_s8_body(const uint8_t *a, const uint8_t *w, size_t units, int32_t *sums) {
    for (size_t u = 0; u < units; u++) {
        for (size_t r = 0; r < ck_tile_rows; r++) {
            const uint8_t *x = a + (u * ck_tile_rows + r) * 4;
            for (size_t c = 0; c < ck_panel; c++) {
                const int8_t *y = (const int8_t *)w + (u * ck_panel + c) * 4;
                sums[r * ck_panel + c] += (x[0] * y[0] + x[1] * y[1]) + (x[2] * y[2] + x[3] * y[3]);
            }
        }
    }
}
CK_VARIANTS(tile_s8, (const uint8_t *a, const uint8_t *w, size_t units, int32_t *sums), (a, w, units, sums))

CK_INLINE void tile_bf16_body(const uint16_t *a, const uint16_t *w, size_t units, float *sums) {
    for (size_t u = 0; u < units; u++) {
        for (size_t r = 0; r < ck_tile_rows; r++) {
            float x0 = widened(a[(u * ck_tile_rows + r) * 2]), x1 = widened(a[(u * ck_tile_rows + r) * 2 + 1]);
            for (size_t c = 0; c < ck_panel; c++) {
                const uint16_t *y = w + (u * ck_panel + c) * 2;
                sums[r * ck_panel + c] += x0 * widened(y[0]) + x1 * widened(y[1]);
            }
        }
    }
}
CK_VARIANTS(tile_bf16, (const uint16_t *a, const uint16_t *w, size_t units, float *sums), (a, w, units, sums))

CK_INLINE void tile_f32_body(const float *a, const float *w, size_t units, float *sums) {
    for (size_t start = 0; start < units; start += ck_chain) {
        float chains[ck_tile_rows * ck_panel] = {0};
        for (size_t u = start; u < ck_least(start + ck_chain, units); u++) {
            for (size_t r = 0; r < ck_tile_rows; r++) {
                float x = a[u * ck_tile_rows + r];
                for (size_t c = 0; c < ck_panel; c++) { chains[r * ck_panel + c] += x * w[u * ck_panel + c]; }
            }
        }
        for (size_t i = 0; i < ck_tile_rows * ck_panel; i++) { sums[i] += chains[i]; }
    }
}
CK_VARIANTS(tile_f32, (const float *a, const float *w, size_t units, float *sums), (a, w, units, sums))

static void product_plain(int isa, const ck_product *p) {
    size_t units = ck_units(p->type, p->k), tile_bytes = ck_tile_bytes(p->type, p->k);
    for (size_t c0 = 0; c0 < p->n; c0 += ck_panel) {
        const uint8_t *panel = (const uint8_t *)p->weights + c0 / ck_panel * ck_one_panel_bytes(p->type, p->k);
        const uint8_t *w = panel + ck_panel_head(p->type);
        for (size_t row = 0; row < p->m; row += ck_tile_rows) {
            const uint8_t *a = (const uint8_t *)p->rows + row / ck_tile_rows * tile_bytes;
            uint32_t sums[ck_tile_rows * ck_panel] = {0};
            if (p->type == CK_PACKED_S8) {
                for (size_t r = 0; r < ck_tile_rows; r++) { memcpy(sums + r * ck_panel, panel, ck_panel * 4); }
                CK_CALL(isa, tile_s8, a, w, units, (int32_t *)sums);
            } else if (p->type == CK_PACKED_BF16) {
                CK_CALL(isa, tile_bf16, (const uint16_t *)(const void *)a, (const uint16_t *)(const void *)w, units, (float *)(void *)sums);
            } else {
                CK_CALL(isa, tile_f32, (const float *)(const void *)a, (const float *)(const void *)w, units, (float *)(void *)sums);
            }
            finish_plain(p, row, ck_least(ck_tile_rows, p->m - row), c0, sums);
        }
    }
}

void ck_packed_product(int isa, const ck_product *p) {
#if CK_X86
    if (isa >= CK_ISA_AVX512 && (p->type != CK_PACKED_BF16 || bf16_supported())) {
        ck_packed_product_avx512(p);
        return;
    }
#endif
    product_plain(isa, p);
}
