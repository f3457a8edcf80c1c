// Runs the AVX-512 sources of products, convolutions and attention on a CPU without AVX-512, over portable stand-ins for its instructions,
// and compares them with the plain path: every bit where they are of integers. `make test-avx512` builds it from
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

static int8_t *some_bytes(size_t n) {
    int8_t *p = need(n);
    for (size_t i = 0; i < n; i++) { p[i] = (int8_t)((int)(next() % 255) - 127); }
    return p;
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
    int8_t *bytes = some_bytes(n * k);
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
        ck_cross_heads heads = {q, d, packed, y[i], d, m, tokens, d, 0, 1, 0.25};
        ck_cross_attention(i ? CK_ISA_AVX512 : CK_ISA_PLAIN, heads, scratch);
    }
    for (size_t j = 0; j < m * d; j++) {
        if (!(fabsf(y[0][j] - y[1][j]) <= 1e-5f)) {
            printf("FAIL cross-attention %zux%zux%zu: element %zu is %g, expected %g\n", m, tokens, d, j, (double)y[1][j], (double)y[0][j]);
            exit(1);
        }
    }
    free(q); free(kv); free(packed); free(scratch); free(y[0]); free(y[1]);
}

static void compare(const char *what, const float *plain, const float *found, size_t n, float bound) {
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(plain[i] - found[i]) <= bound)) {
            printf("FAIL %s: element %zu is %g, expected %g\n", what, i, (double)found[i], (double)plain[i]);
            exit(1);
        }
    }
}

// A 3x3 convolution of three rows of w pixels, of int8 or in float32, and of the image doubled; int8 must equal the plain path.
static void check_convolution(bool integer, size_t w, size_t c, size_t n) {
    size_t pixels = w + 2;
    float *x = some_floats(3 * pixels * c), *bias = some_floats(n), *sw = some_floats(n), *floats = some_floats(n * 9 * c);
    int8_t *bytes = some_bytes(n * 9 * c);
    float *y[2], *doubled[2];
    for (int i = 0; i < 2; i++) {
        int isa = i ? CK_ISA_AVX512 : CK_ISA_PLAIN;
        void *packed = need(integer ? ck_conv_i8_packed_bytes(isa, n, c) : ck_conv_f32_packed_bytes(isa, n, c));
        size_t row_bytes = pixels * (integer ? ck_conv_i8_pixel_bytes(isa, c) : 4 * c);
        const void *rows[3], *scales[3] = {NULL};
        for (int r = 0; r < 3; r++) {
            rows[r] = x + (size_t)r * pixels * c;
            if (!integer) { continue; }
            void *q = need(row_bytes), *s = need(pixels * 4);
            ck_conv_i8_quantize(isa, rows[r], c, q, s, pixels);
            rows[r] = q, scales[r] = s;
        }
        if (integer) { ck_conv_i8_pack(isa, bytes, n, c, packed); } else { ck_conv_f32_pack(isa, floats, n, c, packed); }
        ck_conv_weights weights = {c, n, packed, integer ? sw : NULL, bias};
        y[i] = need(w * n * 4), doubled[i] = need(4 * w * n * 4);
        void *lines[2] = {doubled[i], doubled[i] + 2 * w * n};
        ck_conv(isa, weights, rows, scales, 1, 0, w, y[i]);
        ck_upconv(isa, weights, rows, scales, 1, 0, w, lines);
        for (int r = 0; r < 3 && integer; r++) { free((void *)rows[r]), free((void *)scales[r]); }
        free(packed);
    }
    float bound = integer ? 0 : 1e-6f * (float)(9 * c) * 4;
    compare("convolution", y[0], y[1], w * n, bound);
    compare("convolution of a doubled image", doubled[0], doubled[1], 4 * w * n, bound);
    for (int i = 0; i < 2; i++) { free(y[i]), free(doubled[i]); }
    free(x), free(bias), free(sw), free(floats), free(bytes);
}

static void check_linear_attention(size_t t, size_t d) {
    float *qkv = some_floats(t * 3 * d), *y[2] = {need(t * d * 4), need(t * d * 4)};
    for (size_t i = 0; i < t * 3 * d; i++) { qkv[i] = fabsf(qkv[i]); }
    for (int i = 0; i < 2; i++) {
        ck_linear_heads heads = {qkv, qkv + d, qkv + 2 * d, 3 * d, y[i], d, t, d, d, 0, 1, true, 1e-15};
        if (!ck_linear_attention(i ? CK_ISA_AVX512 : CK_ISA_PLAIN, heads)) { printf("FAIL linear attention refuses %zu\n", d), exit(1); }
    }
    compare("linear attention", y[0], y[1], t * d, 2e-5f);
    free(qkv), free(y[0]), free(y[1]);
}

static void check_gated_depthwise(size_t h, size_t w, size_t c) {
    float *u = some_floats(h * w * 2 * c), *weights = some_floats(9 * 2 * c), *biases = some_floats(2 * c);
    float *y[2] = {need(h * w * c * 4), need(h * w * c * 4)};
    for (int i = 0; i < 2; i++) {
        ck_gated_maps maps = {u, u + c, 2 * c, weights, weights + c, 2 * c, biases, biases + c, y[i], c, h, w, c, 0, h};
        ck_depthwise_glu(i ? CK_ISA_AVX512 : CK_ISA_PLAIN, maps);
    }
    compare("gated depthwise", y[0], y[1], h * w * c, 1e-3f);
    free(u), free(weights), free(biases), free(y[0]), free(y[1]);
}

int main(void) {
    size_t shapes = 0;
    check_cross(1, 1, 1), check_cross(33, 13, 17), check_cross(70, 37, 40), shapes += 3;
    static const size_t packed[][3] = {{1, 1, 0}, {1, 1, 1}, {12, 32, 4}, {13, 33, 5}, {25, 70, 163}, {5, 40, 1447}, {3, 7, 5801}};
    for (int type = CK_PACKED_S8; type <= CK_PACKED_F32; type++) {
        for (size_t i = 0; i < sizeof packed / sizeof *packed; i++, shapes++) { check_packed(type, packed[i][0], packed[i][1], packed[i][2]); }
    }
    static const size_t images[][3] = {{1, 1, 1}, {5, 4, 33}, {12, 8, 32}, {13, 130, 31}, {97, 6, 16}};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++, shapes += 2) {
        check_convolution(true, images[i][0], images[i][1], images[i][2]);
        check_convolution(false, images[i][0], images[i][1], images[i][2]);
    }
    check_linear_attention(1, 1), check_linear_attention(34, 33), check_linear_attention(70, 128), shapes += 3;
    check_gated_depthwise(1, 1, 1), check_gated_depthwise(3, 67, 33), shapes += 2;
    printf("avx512-vnni (emulated): %zu shapes agree with the plain path, bit for bit where they are of integers\n", shapes);
    return 0;
}
