// A 16 x 16 matrix of four-byte elements on its side, in registers.
#ifndef CKERNELS_TRANSPOSE16_H
#define CKERNELS_TRANSPOSE16_H

#include "vectors16.h"

// Exchanges the off-diagonal quarters of every square of 2 * step rows and columns.
#define CK_EXCHANGE16(v, step, low, high)                                          \
    _Pragma("clang loop unroll(full)")                                             \
    for (int r = 0; r < 16; r++) {                                                 \
        if (r & (step)) { continue; }                                              \
        ck_f16x a = (v)[r], b = (v)[r + (step)];                                   \
        (v)[r] = __builtin_shufflevector(a, b, CK_INDICES16 low);                  \
        (v)[r + (step)] = __builtin_shufflevector(a, b, CK_INDICES16 high);        \
    }
#define CK_INDICES16(...) __VA_ARGS__

CK_INLINE_AVX512 void ck_transpose16(ck_f16x v[16]) {
    CK_EXCHANGE16(v, 8, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    CK_EXCHANGE16(v, 4, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27), (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    CK_EXCHANGE16(v, 2, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29), (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    CK_EXCHANGE16(v, 1, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30), (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
}

#endif
