// Rotation of rows, block by block, by the normalized Hadamard matrix: what one channel has in excess is shared among 32.
#include "../shared/internal.h"

#include <string.h>

enum { block = 32 };

// Half a block. On every instruction set the compiler makes of it what there is; sums and products are the same ones.
typedef float half16 __attribute__((vector_size(64)));
typedef int32_t mask16 __attribute__((vector_size(64)));

#define CK_NEGATED(v, ...) ((half16)((mask16)(v) ^ (mask16){__VA_ARGS__}))

// One factor of the matrix: every pair of elements becomes its sum and its difference, which is the partner plus the negated element.
#define CK_BY_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define CK_BY_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define CK_BY_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define CK_BY_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7

// In place: a vector as an argument would have no agreed form without AVX-512.
CK_INLINE void within(half16 *half) {
    const int32_t n = INT32_MIN;
    half16 v = *half;
    v = __builtin_shufflevector(v, v, CK_BY_1) + CK_NEGATED(v, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n);
    v = __builtin_shufflevector(v, v, CK_BY_2) + CK_NEGATED(v, 0, 0, n, n, 0, 0, n, n, 0, 0, n, n, 0, 0, n, n);
    v = __builtin_shufflevector(v, v, CK_BY_4) + CK_NEGATED(v, 0, 0, 0, 0, n, n, n, n, 0, 0, 0, 0, n, n, n, n);
    v = __builtin_shufflevector(v, v, CK_BY_8) + CK_NEGATED(v, 0, 0, 0, 0, 0, 0, 0, 0, n, n, n, n, n, n, n, n);
    *half = v;
}

CK_INLINE void rotate_body(const float *x, size_t ldx, float *y, size_t ldy, size_t m, size_t k) {
    const float root = 0x1.6a09e6p-3f;  // 1 / sqrt(32), rounded
    for (size_t r = 0; r < m; r++) {
        for (size_t at = 0; at < k; at += block) {
            half16 low, high;
            memcpy(&low, x + r * ldx + at, sizeof low);
            memcpy(&high, x + r * ldx + at + block / 2, sizeof high);
            within(&low);
            within(&high);
            half16 sum = (low + high) * root, difference = (low - high) * root;
            memcpy(y + r * ldy + at, &sum, sizeof sum);
            memcpy(y + r * ldy + at + block / 2, &difference, sizeof difference);
        }
    }
}
CK_VARIANTS_512(rotate, (const float *x, size_t ldx, float *y, size_t ldy, size_t m, size_t k), (x, ldx, y, ldy, m, k))

void ck_rotate_rows(int isa, const void *x, size_t ldx, void *y, size_t ldy, size_t m, size_t k) {
    CK_CALL_512(isa, rotate, x, ldx, y, ldy, m, k);
}
