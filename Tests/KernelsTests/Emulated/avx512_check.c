// Runs the AVX-512 sources of the matrix products on a CPU without AVX-512, over portable stand-ins for its instructions, and
// compares every bit with a naive product in 64-bit integers and with the plain path. `make test-avx512` builds it from
// the very sources that ship, with -DCK_EMULATE_AVX512.
//
// Exit 0: all equal. Exit 1: the first difference is printed.
#include "CKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 20260801;
static uint64_t next(void) {
    uint64_t z = seed += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

static void *need(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p) { perror("malloc"); exit(2); }
    return p;
}

enum fill { random_values, all_high, all_low, alternating };

static void fill_bytes(int8_t *p, size_t n, enum fill fill, bool weights) {
    for (size_t i = 0; i < n; i++) {
        switch (fill) {
            case random_values: p[i] = (int8_t)((int)(next() % 255) - 127); break;
            case all_high: p[i] = 127; break;
            case all_low: p[i] = weights ? -127 : 127; break;
            case alternating: p[i] = i % 2 ? -127 : 127; break;
        }
    }
}

// Products of one shape, all channels at once and in two ranges, with rows of the outputs further apart than needed;
// what lies between them must stay as it was.
static void check(size_t m, size_t n, size_t k, enum fill fill) {
    const int isa = CK_ISA_AVX512;
    const uint32_t untouched = 0x7FC0BEEF;
    size_t ld = n + 3;
    int8_t *q = need(m * k), *w = need(n * k);
    uint8_t *packed = need(ck_w8_packed_bytes(isa, n, k)), *plain = need(ck_w8_packed_bytes(CK_ISA_PLAIN, n, k));
    float *sx = need(m * 4), *sw = need(n * 4), *bias = need(n * 4);
    uint32_t *out[3] = {need(m * ld * 4), need(m * ld * 4), need(m * ld * 4)};
    fill_bytes(q, m * k, fill, false);
    fill_bytes(w, n * k, fill, true);
    for (size_t i = 0; i < m; i++) { sx[i] = (float)(next() >> 40) * 0x1p-30f; }
    for (size_t i = 0; i < n; i++) { sw[i] = (float)(next() >> 40) * 0x1p-30f; }
    for (size_t i = 0; i < n; i++) { bias[i] = (float)(next() >> 40) * 0x1p-20f - 8; }
    ck_w8_pack(isa, w, n, k, packed);
    ck_w8_pack(CK_ISA_PLAIN, w, n, k, plain);
    for (int pass = 0; pass < 3; pass++) {
        const float *b = pass == 1 ? bias : NULL;
        for (int i = 0; i < 3; i++) {
            for (size_t j = 0; j < m * ld; j++) { out[i][j] = untouched; }
        }
        if (pass == 0) {
            ck_w8a8_accumulate(isa, q, packed, out[0], ld, m, n, k);
            for (size_t r = 0; r < m; r++) {
                for (size_t c = 0; c < n; c++) {
                    int64_t sum = 0;
                    for (size_t i = 0; i < k; i++) { sum += (int64_t)q[r * k + i] * w[c * k + i]; }
                    out[1][r * ld + c] = out[2][r * ld + c] = (uint32_t)(int32_t)sum;
                }
            }
        } else {
            size_t panel = ck_w8_panel(isa), middle = n / 2 / panel * panel;
            ck_w8a8_linear(isa, q, sx, packed, sw, b, out[0], ld, m, n, k, 0, n);
            ck_w8a8_linear(isa, q, sx, packed, sw, b, out[1], ld, m, n, k, middle, n);
            ck_w8a8_linear(isa, q, sx, packed, sw, b, out[1], ld, m, n, k, 0, middle);
            ck_w8a8_linear(CK_ISA_PLAIN, q, sx, plain, sw, b, out[2], ld, m, n, k, 0, n);
        }
        for (size_t j = 0; j < m * ld; j++) {
            if (out[0][j] != out[2][j] || out[1][j] != out[2][j]) {
                printf("FAIL %zux%zux%zu fill %d pass %d: element [%zu, %zu] is %08x and %08x, expected %08x\n", m, n, k,
                    (int)fill, pass, j / ld, j % ld, out[0][j], out[1][j], out[2][j]);
                exit(1);
            }
        }
    }
    free(q); free(w); free(packed); free(plain); free(sx); free(sw); free(bias);
    for (int i = 0; i < 3; i++) { free(out[i]); }
}

static float *some_floats(size_t n) {
    float *p = need(n * 4);
    for (size_t i = 0; i < n; i++) { p[i] = (float)(int32_t)(next() >> 33) * 0x1p-29f - 2; }
    return p;
}

// Packed products: int8 must equal the plain path, the floats must be near it, with everything that can follow a product.
static void check_packed(int type, size_t m, size_t n, size_t k) {
    size_t row_bytes = ck_packed_row_bytes(type, m, k), weight_bytes = ck_packed_weight_bytes(type, n, k);
    float *x = some_floats(m * k), *w = some_floats(n * k), *bias = some_floats(n), *gate = some_floats(n), *sw = some_floats(n);
    int8_t *bytes = need(n * k);
    fill_bytes(bytes, n * k, random_values, true);
    void *rows[2], *weights[2];
    float *sx[2], *y[2], *residual[2];
    for (int i = 0; i < 2; i++) {
        int isa = i ? CK_ISA_AVX512 : CK_ISA_PLAIN;
        rows[i] = need(row_bytes); weights[i] = need(weight_bytes); sx[i] = need(m * 4); y[i] = need(m * n * 4); residual[i] = need(m * n * 4);
        for (size_t j = 0; j < m; j++) { sx[i][j] = 0; }
        for (size_t j = 0; j < m * n; j++) { residual[i][j] = (float)(j % 7); }
        ck_pack_rows(isa, type, x, k, rows[i], sx[i], m, k);
        ck_pack_weights(isa, type, type == CK_PACKED_S8 ? (void *)bytes : (void *)w, n, k, weights[i]);
        ck_product p = {.type = type, .rows = rows[i], .sx = sx[i], .weights = weights[i], .sw = sw, .bias = bias, .y = y[i], .ldy = n,
                        .residual = residual[i], .ldr = n, .gate = gate, .m = m, .n = n, .k = k};
        ck_packed_product(isa, &p);
        p.residual = NULL;
        ck_packed_product(isa, &p);
    }
    if (memcmp(rows[0], rows[1], row_bytes) || memcmp(sx[0], sx[1], m * 4)) { printf("FAIL packed rows %d %zux%zu\n", type, m, k); exit(1); }
    for (size_t j = 0; j < m * n; j++) {
        float bound = type == CK_PACKED_S8 ? 0 : 1e-6f * (float)k * 4;
        if (!(fabsf(y[0][j] - y[1][j]) <= bound) || !(fabsf(residual[0][j] - residual[1][j]) <= 2 * bound)) {
            printf("FAIL packed type %d %zux%zux%zu: element %zu is %g and %g, expected %g and %g\n", type, m, n, k, j, (double)y[1][j],
                (double)residual[1][j], (double)y[0][j], (double)residual[0][j]);
            exit(1);
        }
    }
    for (int i = 0; i < 2; i++) { free(rows[i]); free(weights[i]); free(sx[i]); free(y[i]); free(residual[i]); }
    free(x); free(w); free(bias); free(gate); free(sw); free(bytes);
}

// Cross-attention, which must be near the plain path.
static void check_cross(size_t m, size_t tokens, size_t d) {
    size_t bytes = ck_cross_attention_bytes(tokens, d, 1);
    float *q = some_floats(m * d), *kv = some_floats(tokens * 2 * d), *packed = need(bytes), *scratch = need(ck_cross_attention_scratch(tokens, d));
    float *y[2] = {need(m * d * 4), need(m * d * 4)};
    ck_pack_cross_attention(kv, 2 * d, kv + d, 2 * d, packed, tokens, d, 1);
    for (int i = 0; i < 2; i++) {
        ck_cross_attention(i ? CK_ISA_AVX512 : CK_ISA_PLAIN, q, d, packed, y[i], d, scratch, m, tokens, d, 0, 1, 0.25);
    }
    for (size_t j = 0; j < m * d; j++) {
        if (!(fabsf(y[0][j] - y[1][j]) <= 1e-5f)) {
            printf("FAIL cross-attention %zux%zux%zu: element %zu is %g, expected %g\n", m, tokens, d, j, (double)y[1][j], (double)y[0][j]);
            exit(1);
        }
    }
    free(q); free(kv); free(packed); free(scratch); free(y[0]); free(y[1]);
}

int main(void) {
    size_t shapes = 0;
    check_cross(1, 1, 1), check_cross(33, 13, 17), check_cross(70, 37, 40), shapes += 3;
    static const size_t packed[][3] = {{1, 1, 1}, {12, 32, 4}, {13, 33, 5}, {25, 70, 163}, {5, 40, 1447}, {3, 7, 5801}};
    for (int type = CK_PACKED_S8; type <= CK_PACKED_F32; type++) {
        for (size_t i = 0; i < sizeof packed / sizeof *packed; i++, shapes++) { check_packed(type, packed[i][0], packed[i][1], packed[i][2]); }
    }
    for (size_t k = 1; k <= 67; k++) {
        for (size_t j = 1; j <= 67; j += 6, shapes++) { check(1 + (k * 5 + j) % 29, j, k, random_values); }
    }
    static const size_t large[][3] = {
        {0, 5, 7}, {97, 33, 1023}, {13, 70, 1024}, {25, 64, 1025}, {12, 32, 2240}, {193, 31, 260}, {4, 96, 3073}, {1, 1, 1},
    };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++, shapes++) {
        check(large[i][0], large[i][1], large[i][2], random_values);
    }
    for (int fill = all_high; fill <= alternating; fill++, shapes++) { check(3, 33, 65536, (enum fill)fill); }
    printf("avx512-vnni (emulated): %zu shapes equal the naive product and the plain path, bit for bit where they are of integers\n", shapes);
    return 0;
}
