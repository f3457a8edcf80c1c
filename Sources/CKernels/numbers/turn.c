// Rows turned by Hadamard matrices, block by block: what one channel has in excess is shared among its block.
#include "../shared/internal.h"

#include <math.h>
#include <string.h>

enum { half = 16, few = 32 };

// On every instruction set the compiler makes of it what there is; sums and products are the same ones.
typedef float half16 __attribute__((vector_size(64)));
typedef int32_t mask16 __attribute__((vector_size(64)));

#define CK_NEGATED(v, ...) ((half16)((mask16)(v) ^ (mask16){__VA_ARGS__}))

// One factor of the matrix: every pair of elements becomes its sum and its difference, which is the partner plus the negated element.
#define CK_BY_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define CK_BY_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define CK_BY_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define CK_BY_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7

// In place: a vector as an argument would have no agreed form without AVX-512.
CK_INLINE void within(half16 *values) {
    const int32_t n = INT32_MIN;
    half16 v = *values;
    v = __builtin_shufflevector(v, v, CK_BY_1) + CK_NEGATED(v, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n);
    v = __builtin_shufflevector(v, v, CK_BY_2) + CK_NEGATED(v, 0, 0, n, n, 0, 0, n, n, 0, 0, n, n, 0, 0, n, n);
    v = __builtin_shufflevector(v, v, CK_BY_4) + CK_NEGATED(v, 0, 0, 0, 0, n, n, n, n, 0, 0, 0, 0, n, n, n, n);
    v = __builtin_shufflevector(v, v, CK_BY_8) + CK_NEGATED(v, 0, 0, 0, 0, 0, 0, 0, 0, n, n, n, n, n, n, n, n);
    *values = v;
}

CK_INLINE void load(half16 *values, const float *x, const float *factors, size_t at) {
    memcpy(values, x + at, sizeof *values);
    if (factors) {
        half16 f;
        memcpy(&f, factors + at, sizeof f);
        *values *= f;
    }
}

CK_INLINE void store(const half16 *values, float *y, size_t at) { memcpy(y + at, values, sizeof *values); }

// Blocks of 32 elements by the first five factors of the matrix, and by `root`.
CK_INLINE void turn_few(const float *x, const float *factors, float *y, size_t n, float root) {
    for (size_t at = 0; at < n; at += few) {
        half16 low, high;
        load(&low, x, factors, at);
        load(&high, x, factors, at + half);
        within(&low);
        within(&high);
        half16 sum = (low + high) * root, difference = (low - high) * root;
        store(&sum, y, at);
        store(&difference, y, at + half);
    }
}

// One factor: of elements `step` apart, a multiple of 16.
CK_INLINE void turn_pairs(float *y, size_t n, size_t step, float root) {
    for (size_t start = 0; start < n; start += 2 * step) {
        for (size_t at = start; at < start + step; at += half) {
            half16 a, b;
            load(&a, y, NULL, at);
            load(&b, y, NULL, at + step);
            half16 sum = (a + b) * root, difference = (a - b) * root;
            store(&sum, y, at);
            store(&difference, y, at + step);
        }
    }
}

// Two factors while the elements are at hand: those of elements `step` and 2 * `step` apart.
CK_INLINE void turn_fours(float *y, size_t n, size_t step, float root) {
    for (size_t start = 0; start < n; start += 4 * step) {
        for (size_t at = start; at < start + step; at += half) {
            half16 a, b, c, d;
            load(&a, y, NULL, at);
            load(&b, y, NULL, at + step);
            load(&c, y, NULL, at + 2 * step);
            load(&d, y, NULL, at + 3 * step);
            half16 e = a + b, f = a - b, g = c + d, h = c - d;
            a = (e + g) * root;
            b = (f + h) * root;
            c = (e - g) * root;
            d = (f - h) * root;
            store(&a, y, at);
            store(&b, y, at + step);
            store(&c, y, at + 2 * step);
            store(&d, y, at + 3 * step);
        }
    }
}

// A block of fewer elements than a vector has pairs of.
CK_INLINE void turn_rest(const float *x, const float *factors, float *y, size_t n, float root) {
    for (size_t i = 0; i < n; i++) { y[i] = factors ? x[i] * factors[i] : x[i]; }
    for (size_t step = 1; step < n; step *= 2) {
        for (size_t i = 0; i < n; i++) {
            if (i & step) { continue; }
            float a = y[i], b = y[i + step];
            y[i] = a + b;
            y[i + step] = a - b;
        }
    }
    for (size_t i = 0; i < n; i++) { y[i] *= root; }
}

// A block of n elements, a power of two; n * root^2 is 1.
CK_INLINE void turn_block(const float *x, const float *factors, float *y, size_t n, float root) {
    if (n < few) {
        turn_rest(x, factors, y, n, root);
        return;
    }
    turn_few(x, factors, y, n, n == few ? root : 1);
    for (size_t step = few; step < n;) {
        if (4 * step <= n) {
            turn_fours(y, n, step, 4 * step == n ? root : 1);
            step *= 4;
        } else {
            turn_pairs(y, n, step, root);
            step *= 2;
        }
    }
}

CK_INLINE void turn_body(const float *x, size_t ldx, const float *before, float *y, size_t ldy, const float *after, size_t m, size_t k, size_t most) {
    for (size_t at = 0, n; at < k; at += n) {
        n = 1;
        while (n * 2 <= k - at && n * 2 <= most) { n *= 2; }
        float root = (float)(1.0 / sqrt((double)n));
        for (size_t r = 0; r < m; r++) { turn_block(x + r * ldx + at, before ? before + at : NULL, y + r * ldy + at, n, root); }
    }
    for (size_t r = 0; after && r < m; r++) {
        for (size_t i = 0; i < k; i++) { y[r * ldy + i] *= after[i]; }
    }
}
CK_VARIANTS_512(
    turn, (const float *x, size_t ldx, const float *before, float *y, size_t ldy, const float *after, size_t m, size_t k, size_t most),
    (x, ldx, before, y, ldy, after, m, k, most))

void ck_turn_rows(
    int isa, const void *x, size_t ldx, const void *before, void *y, size_t ldy, const void *after, size_t m, size_t k, size_t most) {
    CK_CALL_512(isa, turn, x, ldx, before, y, ldy, after, m, k, most);
}
